"""Quantities that change at moments and stay in between: counts, and bytes held."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scenarios.results.windows import Series


@dataclass(frozen=True)
class Steps:
    """A quantity over time, 0 before its first change.

    Attributes:
        times_s: when it changes, in order; model seconds.
        levels: what it is from each of these moments on.
    """

    times_s: Series
    levels: Series

    def at(self, moments_s: Series) -> Series:
        """What it is at each of some moments."""
        after = np.searchsorted(self.times_s, moments_s, side="right")
        found: Series = np.concatenate([[0.0], self.levels])[after]
        return found

    def mean(self, from_s: float, to_s: float) -> float:
        """Over a time, which is longer than nothing."""
        inside = self.times_s[(self.times_s > from_s) & (self.times_s < to_s)]
        edges = np.concatenate([[from_s], inside, [to_s]])
        return float((self.at(edges[:-1]) * np.diff(edges)).sum() / (to_s - from_s))

    def largest(self, from_s: float, to_s: float) -> float:
        """Within a time."""
        inside = self.times_s[(self.times_s > from_s) & (self.times_s < to_s)]
        return float(self.at(np.concatenate([[from_s], inside])).max())


def steps(changes: Iterable[tuple[float, float]]) -> Steps:
    """From (when, by how much) in any order."""
    rows = np.array(list(changes), dtype=np.float64).reshape(-1, 2)
    times, places = np.unique(rows[:, 0], return_inverse=True)
    levels: Series = np.cumsum(np.bincount(places, weights=rows[:, 1], minlength=len(times)))
    return Steps(times, levels)
