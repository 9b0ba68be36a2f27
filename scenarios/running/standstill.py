"""A run that comes no further, and a fabric that stands still for a while.

Both are seen from outside: by what nodes say, what arrives at their NICs, and what their sockets
hold. Times: wall seconds on one clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from plan.events import Status

ASKED = 3
"""How often nodes are asked what they wait for before a run is given up."""
SHOWN = 4
"""Transfers and places that fit into the line."""
STILL_S = 0.5
"""A fabric that carries nothing for less is not worth telling."""


class Standstill:
    """Whether a run still comes further: requests are done, bytes arrive, or nodes compute.

    A node computes while an alarm of its clock is set, or has rung since it was last asked.

    Args:
        patience_s: for so long nothing of it may happen.
        quiet_bytes: fewer bytes between two looks are no progress, but what TCP says to itself.
        computing: False: alarms tell nothing, for nodes give signs of life whatever they do.
    """

    def __init__(
        self,
        nodes: Iterable[str],
        patience_s: float,
        quiet_bytes: float,
        *,
        computing: bool = True,
    ) -> None:
        self._computing = computing
        self._patience_s = patience_s
        self._quiet_bytes = quiet_bytes
        self._nodes = tuple(nodes)
        self._done = -1
        self._arrived = 0.0
        self._since = float("-inf")
        self._asked = 0
        self._heard: dict[str, Status] = {}

    def look(self, now: float, done: int, arrived_bytes: float) -> None:
        """Take down how far the run is.

        Args:
            done: requests so far; arrived_bytes: at all nodes so far.
        """
        if done != self._done or arrived_bytes - self._arrived > self._quiet_bytes:
            self._came_further(now)
        self._done, self._arrived = done, arrived_bytes

    def heard(self, now: float, status: Status) -> None:
        """A node has answered what it waits for."""
        before = self._heard.get(status.node)
        self._heard[status.node] = status
        if self._computing and self._went_on(status, before):
            self._came_further(now)

    def _went_on(self, status: Status, before: Status | None) -> bool:
        return status.alarms > 0 or (before is not None and before.rung != status.rung)

    def asks(self, now: float) -> bool:
        """Whether it is time to ask the nodes what they wait for."""
        if now - self._since < (self._asked + 1) * self._patience_s / (ASKED + 1):
            return False
        self._asked += 1
        return True

    def over(self, now: float) -> bool:
        """Whether the run has come no further for too long."""
        return now - self._since >= self._patience_s

    def explained(self, total: int | None) -> str:
        """Who waits for what, in one line; `total` requests were to be served, None: no end of
        them."""
        of = "" if total is None else f" of {total}"
        requests, transfers, tasks = Counter[str](), Counter[str](), Counter[str]()
        for node, status in self._heard.items():
            requests.update(status.requests)
            transfers.update(status.transfers)
            tasks.update({f"{node} {place}": count for place, count in status.tasks.items()})
        silent = [node for node in self._nodes if node not in self._heard]
        parts = [
            f"no request was done, nothing arrived and nothing was computed for"
            f" {self._patience_s:.0f} s",
            f"{max(self._done, 0)}{of} requests are done{_listed(', ', requests)}",
            f"under way{_listed(' ', transfers)}" if transfers else "",
            f"waiting{_listed(' ', tasks)}" if tasks and not transfers else "",
            f"no answer from {', '.join(silent)}" if silent else "",
        ]
        return "; ".join(part for part in parts if part)

    def _came_further(self, now: float) -> None:
        self._since = now
        self._asked = 0


def _listed(lead: str, counts: Mapping[str, int]) -> str:
    """The most frequent ones, `lead` before them."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{count} {what}" for what, count in ordered[:SHOWN])
    rest = sum(count for _, count in ordered[SHOWN:])
    return (f"{lead}{shown}" if shown else "") + (f" and {rest} more" if rest else "")


class Pauses:
    """Times in which no switch port sent anything although sockets held bytes to be sent.

    One look that finds bytes is none: they may just have been posted. At a second one without
    a byte sent in between, they have waited since the first.

    Attributes:
        total_s: of all that were worth telling.
    """

    def __init__(self) -> None:
        self.total_s = 0.0
        self._sent = -1.0
        self._since = 0.0
        self._held = 0

    def look(self, now: float, sent_bytes: float) -> bool:
        """Take down what all switch ports have sent so far; True if nothing since the last
        look, so that `hold` should be told."""
        if sent_bytes == self._sent:
            return True
        if self._held > 1 and now - self._since >= STILL_S:
            self.total_s += now - self._since
        self._sent, self._since, self._held = sent_bytes, now, 0
        return False

    def hold(self) -> None:
        """Sockets hold bytes meanwhile."""
        self._held += 1
