"""How full something was over time, in few figures however long a run takes."""

from __future__ import annotations

MOST = 2000
"""Changes that are kept of a run."""


class Levels:
    """The last change in every step of time; steps grow so that there are never too many.

    Args:
        step_s: the first length of a step, model seconds.

    Attributes:
        kept: (when, model seconds; what the level was from then on). At the end of every step
            it is exact.
    """

    def __init__(self, step_s: float) -> None:
        self.kept: list[tuple[float, float]] = []
        self._step_s = step_s

    def note(self, now_s: float, level: float) -> None:
        """The level has changed; `now_s` never goes back."""
        if self.kept and self._step(self.kept[-1][0]) == self._step(now_s):
            self.kept.pop()
        self.kept.append((now_s, level))
        if len(self.kept) > MOST:
            self._step_s *= 2
            last = {self._step(at_s): (at_s, level) for at_s, level in self.kept}
            self.kept[:] = last.values()

    def _step(self, at_s: float) -> float:
        return at_s // self._step_s
