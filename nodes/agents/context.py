"""An agent's context as its turns make it grow: prompts, hits and block ids."""

from __future__ import annotations

from nodes.protocol.blocks import Runs, extend, prefix, rows
from nodes.protocol.messages import Request
from plan.workload import Trajectory, Turn


class Agent:
    """The context of one agent as its turns make it grow."""

    def __init__(self, number: int, trajectory: Trajectory, block_tokens: int) -> None:
        self._number = number
        self._block_tokens = block_tokens
        self._context = trajectory.preloaded
        self._next_id = -(-trajectory.preloaded // block_tokens)
        self._runs: Runs = extend((), 0, self._next_id)

    def request(self, number: int, index: int, turn: Turn, now_s: float) -> Request:
        """The next turn as a request; blocks beyond a kept prefix get new ids."""
        keep = self._context if turn.keep is None else turn.keep
        if turn.keep is not None:
            self._runs = prefix(self._runs, keep // self._block_tokens)
        prompt = keep + turn.append
        self._context = prompt + turn.gen
        missing = -(-self._context // self._block_tokens) - rows(self._runs)
        self._runs = extend(self._runs, self._next_id, missing)
        self._next_id += max(0, missing)
        return Request(number, self._number, index, self._runs, prompt, keep, turn.gen, now_s)
