"""What a scheduler that has begun anew is told, until it knows enough to go on.

Nodes say what they have in their hands, and then agents what they wait for: in this order, so that
what was done meanwhile is not taken for lost. What a node says before that is in it; what it says
afterwards waits until the books are whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nodes.protocol.messages import (
    Alive,
    Assign,
    Attempt,
    Failed,
    Fetch,
    Held,
    Message,
    Request,
    Submit,
    Unfinished,
)
from plan.names import node_of


@dataclass(frozen=True)
class Standing:
    """What is known of an unfinished request.

    Attributes:
        number: of its last attempt, 0: there is none.
        assign: that attempt, where anybody has it; prefilled: the decode node alone needs it.
        lost: why it does not go on, though somebody has it.
    """

    request: Request
    number: int
    assign: Assign | None
    prefilled: bool
    lost: str | None


class Gathering:
    """See the module.

    Args:
        nodes: that are asked.

    Attributes:
        held: node -> what it said.
        requests: what agents wait for; None: they have not said.
    """

    def __init__(self, nodes: Iterable[str]) -> None:
        self._nodes = list(nodes)
        self._later: list[Message] = []
        self.held: dict[str, Held] = {}
        self.requests: tuple[Request, ...] | None = None

    @property
    def silent(self) -> list[str]:
        """Nodes that have not said what they have."""
        return [node for node in self._nodes if node not in self.held]

    def heard(self, message: Message) -> None:
        """Take note of what is said; of two answers of a node the first one counts."""
        match message:
            case Held():
                self.held.setdefault(message.node, message)
            case Unfinished():
                if self.requests is None:
                    self.requests = message.requests
            case Submit():
                if self.requests is not None:
                    self._later.append(message)
            case Alive() | Failed():
                if message.node in self.held:
                    self._later.append(message)
            case Fetch():
                if all(report.node in self.held for report in message.reports):
                    self._later.append(message)
            case _:
                raise TypeError(f"the scheduler cannot handle {message!r}")

    def later(self) -> Iterator[Message]:
        """What was said since, in order."""
        yield from self._later

    def fenced(self, node: str) -> bool:
        """Whether the scheduler before took a node for dead in the life that it still has."""
        held = self.held[node]
        latest = max((one.members for one in self.held.values()), key=lambda one: one.number)
        return held.members.number >= 0 and latest.lives.get(node, held.life) == 0

    def standings(self, there: Iterable[str]) -> list[Standing]:
        """What is known of all unfinished requests, in order, by what those nodes have that are
        there."""
        held = [self.held[node] for node in there]
        last: dict[int, int] = {}
        failed = set[Attempt]()
        serving: dict[Attempt, dict[str, Assign]] = {}
        whole = set[Attempt]()
        for one in held:
            failed.update(one.failed)
            whole.update(one.whole)
            for assign in one.serving:
                serving.setdefault(assign.attempt, {})[one.node] = assign
        for attempt in (*failed, *serving):
            last[attempt.request] = max(last.get(attempt.request, 0), attempt.number)
        return [
            _standing(request, last.get(request.number, 0), failed, serving, whole)
            for request in self.requests or ()
        ]


def _standing(
    request: Request,
    number: int,
    failed: set[Attempt],
    serving: dict[Attempt, dict[str, Assign]],
    whole: set[Attempt],
) -> Standing:
    attempt = Attempt(request.number, number)
    by_node = serving.get(attempt, {})
    if not number or (attempt in failed and not by_node):
        return Standing(request, number, None, False, None)
    assign = next(iter(by_node.values()))
    pe, de = node_of(assign.pe), node_of(assign.de)
    if attempt in failed:
        lost = "it came to nothing while there was no scheduler"
    elif de not in by_node:
        lost = f"{de} has it no more"
    elif pe not in by_node and attempt not in whole:
        lost = f"{pe} has it no more"
    else:
        return Standing(request, number, assign, pe not in by_node, None)
    return Standing(request, number, assign, False, lost)
