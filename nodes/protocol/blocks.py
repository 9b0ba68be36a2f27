"""Which block sits in which row: a context as runs of block ids.

A context of `n` blocks is a tuple of runs `(first_id, count)`; row `r` of any region that
holds the context is the `r`-th id. An append-only trajectory is the single run `(0, n)`;
a branch or reset keeps a prefix of the rows and goes on with ids never used before.

Ids are an agent's own, but for those of stems, which mean the same to all agents: such an id
has the stem in its upper half and the row in its lower one.
"""

from __future__ import annotations

from typing import NamedTuple

Runs = tuple[tuple[int, int], ...]


STEMS = 1 << 31
"""Stems are owners of blocks, numbered from here on; below are agents."""
_UPPER = 32
_LOWER = (1 << _UPPER) - 1


class Piece(NamedTuple):
    """Rows `row .. row + size` hold blocks `first_id .. first_id + size` of a trajectory, or of
    a stem."""

    row: int
    size: int
    trajectory: int
    first_id: int


class Share(NamedTuple):
    """What of a context has one owner: `runs` stand from row `row` on."""

    owner: int
    runs: Runs
    row: int


def stem_id(stem: int, row: int) -> int:
    """The id of a stem's block, which is the same row of every context that has it."""
    return (stem + 1) << _UPPER | row


def _owner(agent: int, block: int) -> int:
    stem = block >> _UPPER
    return STEMS + stem - 1 if stem else agent


def shares(agent: int, runs: Runs) -> list[Share]:
    """An agent's context by whose its blocks are; stems come before what is its own."""
    found: list[Share] = []
    row = 0
    for run in runs:
        owner = _owner(agent, run[0])
        if found and found[-1].owner == owner:
            found[-1] = Share(owner, (*found[-1].runs, run), found[-1].row)
        else:
            found.append(Share(owner, (run,), row))
        row += run[1]
    return found


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
            block = first_id + start - row
            owner = _owner(trajectory, block)
            found.append(Piece(start, stop - start, owner, block & _LOWER))
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
