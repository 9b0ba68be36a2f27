"""Which block sits in which row: a context as runs of block ids.

A context of `n` blocks is a tuple of runs `(first_id, count)`; row `r` of any region that
holds the context is the `r`-th id. An append-only trajectory is the single run `(0, n)`;
a branch or reset keeps a prefix of the rows and goes on with ids never used before.
"""

from __future__ import annotations

from typing import NamedTuple

Runs = tuple[tuple[int, int], ...]


class Piece(NamedTuple):
    """Rows `row .. row + size` hold blocks `first_id .. first_id + size` of a trajectory."""

    row: int
    size: int
    trajectory: int
    first_id: int


def rows(runs: Runs) -> int:
    """Number of blocks in the context."""
    return sum(count for _, count in runs)


def pieces(trajectory: int, runs: Runs, lo: int, hi: int) -> list[Piece]:
    """The identities of rows `lo .. hi` of a context."""
    found = []
    row = 0
    for first_id, count in runs:
        start, stop = max(lo, row), min(hi, row + count)
        if start < stop:
            found.append(Piece(start, stop - start, trajectory, first_id + start - row))
        row += count
    return found


def prefix(runs: Runs, length: int) -> Runs:
    """The first `length` rows of a context."""
    kept = []
    for first_id, count in runs:
        if length <= 0:
            break
        kept.append((first_id, min(count, length)))
        length -= count
    return tuple(kept)


def extend(runs: Runs, first_id: int, count: int) -> Runs:
    """The context with `count` blocks appended; merges with the last run where ids go on."""
    if count <= 0:
        return runs
    if runs and runs[-1][0] + runs[-1][1] == first_id:
        last_first, last_count = runs[-1]
        return (*runs[:-1], (last_first, last_count + count))
    return (*runs, (first_id, count))


def common(one: Runs, other: Runs) -> int:
    """How many leading rows of two contexts are the same blocks."""
    count = 0
    for (first, held), (other_first, other_held) in zip(one, other, strict=False):
        if first != other_first:
            return count
        count += min(held, other_held)
        if held != other_held:
            return count
    return count
