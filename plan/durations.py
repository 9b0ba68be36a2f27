"""Many durations in little memory: their number, sum, longest, and a logarithmic histogram."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, floor, log

import msgspec

STEP = 1.01
"""Width of a bin as a ratio: quantiles are right to within half a per cent."""
SHORTEST_S = 1e-9
"""Shorter durations count as that long in the histogram."""


class Durations(msgspec.Struct, kw_only=True):
    """What is kept of a set of durations, seconds.

    Attributes:
        bins: bin i counts durations from `STEP**i` up to `STEP**(i + 1)`.
    """

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    bins: dict[int, int] = {}

    def add(self, duration_s: float) -> None:
        """Count one more duration."""
        self.count += 1
        self.total_s += duration_s
        self.longest_s = max(self.longest_s, duration_s)
        place = floor(log(max(duration_s, SHORTEST_S)) / log(STEP))
        self.bins[place] = self.bins.get(place, 0) + 1

    def cumulative(self) -> list[tuple[float, float]]:
        """(duration, share of durations up to it) at the middle of each bin in use."""
        passed, points = 0, []
        for place in sorted(self.bins):
            passed += self.bins[place]
            middle_s = exp((place + 0.5) * log(STEP))
            points.append((min(middle_s, self.longest_s), passed / self.count))
        return points

    def quantile_s(self, share: float) -> float:
        """The duration that a share (0..1) of all do not exceed.

        Raises:
            ValueError: there are none.
        """
        if not self.count:
            raise ValueError("quantile of no durations: add one first")
        return next(duration_s for duration_s, up_to in self.cumulative() if up_to >= share)


def together(parts: Iterable[Durations]) -> Durations:
    """The union of several sets."""
    union = Durations()
    for part in parts:
        union.count += part.count
        union.total_s += part.total_s
        union.longest_s = max(union.longest_s, part.longest_s)
        for place, number in part.bins.items():
            union.bins[place] = union.bins.get(place, 0) + number
    return union
