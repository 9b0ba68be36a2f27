"""An agent's context as its turns make it grow: prompts, hits and block ids."""

from __future__ import annotations

from nodes.protocol.blocks import Runs, Share, extend, prefix, rows, shares, stem_id
from nodes.protocol.messages import Request
from plan.workload import Trajectory, Turn


class Agent:
    """The context of one agent as its turns make it grow."""

    def __init__(self, number: int, trajectory: Trajectory, block_tokens: int) -> None:
        self._number = number
        self._block_tokens = block_tokens
        self._context = trajectory.preloaded
        self._common = _stem_runs(trajectory, block_tokens)
        self._next_id = 0
        self._runs: Runs = ()
        self._cover(self._context)

    @property
    def full_blocks(self) -> Runs:
        """The blocks of the context that are full."""
        return prefix(self._runs, self._context // self._block_tokens)

    def request(self, number: int, index: int, turn: Turn, now_s: float) -> Request:
        """The next turn as a request; blocks beyond a kept prefix get new ids."""
        keep = self._context if turn.keep is None else turn.keep
        if turn.keep is not None:
            self._runs = prefix(self._runs, keep // self._block_tokens)
            self._common = prefix(self._common, keep // self._block_tokens)
        prompt = keep + turn.append
        self._context = prompt + turn.gen
        self._cover(self._context)
        return Request(number, self._number, index, self._runs, prompt, keep, turn.gen, now_s)

    def _cover(self, tokens: int) -> None:
        """Give every token its block: a stem's as far as they go, else a new one."""
        needed, held = -(-tokens // self._block_tokens), rows(self._runs)
        if self._common and held < rows(self._common):
            self._runs = prefix(self._common, needed)
            held = rows(self._runs)
        self._runs = extend(self._runs, self._next_id, needed - held)
        self._next_id += max(0, needed - held)


def stored_before(number: int, trajectory: Trajectory, block_tokens: int) -> list[Share]:
    """What an agent has in storage before it comes, by whose it is."""
    return shares(number, Agent(number, trajectory, block_tokens).full_blocks)


def _stem_runs(trajectory: Trajectory, block_tokens: int) -> Runs:
    """The blocks of a trajectory's stems. One belongs to the stem that its last token belongs
    to."""
    runs: Runs = ()
    for stem, end in trajectory.stems:
        row = rows(runs)
        runs = extend(runs, stem_id(stem, row), end // block_tokens - row)
    return runs
