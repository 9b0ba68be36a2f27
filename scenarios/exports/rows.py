"""Rows for what overlaps: the fewest in which nothing covers anything else."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def rows(spans: Sequence[tuple[float, float]]) -> list[int]:
    """For every span (start, end) its row, from 0; two in a row at most touch."""
    order = sorted(range(len(spans)), key=lambda i: spans[i])
    free: list[int] = []
    ending: list[tuple[float, int]] = []
    found = [0] * len(spans)
    made = 0
    for i in order:
        start, end = spans[i]
        while ending and ending[0][0] <= start:
            heapq.heappush(free, heapq.heappop(ending)[1])
        if free:
            found[i] = heapq.heappop(free)
        else:
            found[i], made = made, made + 1
        heapq.heappush(ending, (end, found[i]))
    return found
