"""What happened over time, in few entries however long a run takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

MOST = 2000
"""Entries that are kept of a run."""

_Entry = TypeVar("_Entry")


class Course(Generic[_Entry]):
    """Entries of one step of time are joined; steps grow so that there are never too many.

    Args:
        kept: where entries go, in the order in which they come, behind those of an earlier life.
        step_s: the first length of a step, model seconds.
        joined: one entry for two that follow each other.
    """

    def __init__(
        self,
        kept: list[_Entry],
        step_s: float,
        joined: Callable[[_Entry, _Entry], _Entry],
    ) -> None:
        self._kept = kept
        self._step_s = step_s
        self._joined = joined
        # of each entry, the number of its step; of those that are there, any that differ
        self._steps = [float(place - len(kept)) for place in range(len(kept))]

    def note(self, now_s: float, entry: _Entry) -> None:
        """Something happened; `now_s` never goes back."""
        self._add(now_s // self._step_s, entry)
        while len(self._kept) > MOST:
            self._step_s *= 2
            steps, entries = self._steps, self._kept[:]
            self._steps = []
            self._kept.clear()
            for step, one in zip(steps, entries, strict=True):
                self._add(step // 2, one)

    def _add(self, step: float, entry: _Entry) -> None:
        if self._steps and self._steps[-1] == step:
            self._kept[-1] = self._joined(self._kept[-1], entry)
        else:
            self._steps.append(step)
            self._kept.append(entry)
