"""Which pieces of their contexts trajectories have in common: the stems of their prefix tree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

import msgspec

from plan.workload import Stems, Trajectory


def cut(stems: Stems, tokens: int) -> Stems:
    """What of stems lies before a place in the context."""
    starts = (0, *(end for _, end in stems))
    return tuple(
        (stem, min(end, tokens))
        for start, (stem, end) in zip(starts, stems, strict=False)
        if start < tokens
    )


def with_stem(trajectory: Trajectory, tokens: int) -> Trajectory:
    """The trajectory with a stem of so many tokens that all have, as far as it is in storage
    before it begins."""
    stems = cut(((0, tokens),), trajectory.preloaded)
    return msgspec.structs.replace(trajectory, stems=stems)


def in_common(trajectories: list[Trajectory]) -> list[Trajectory]:
    """The trajectories with as much of their stems as at least one other has; what is nobody
    else's is their own."""
    longest: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for trajectory in trajectories:
        for stem, end in trajectory.stems:
            longest[stem] = sorted([*longest[stem], end])[-2:]

    def common(trajectory: Trajectory) -> Trajectory:
        limit = 0
        for stem, end in trajectory.stems:
            limit = max(limit, min(end, longest[stem][0]))
        return msgspec.structs.replace(trajectory, stems=cut(trajectory.stems, limit))

    return [common(one) if one.stems else one for one in trajectories]


def tokens_in(trajectories: Iterable[Trajectory]) -> tuple[int, int]:
    """Tokens of stems: counted for each trajectory that has them, and once."""
    every, once = 0, dict[int, int]()
    for trajectory in trajectories:
        start = 0
        for stem, end in trajectory.stems:
            every += end - start
            once[stem] = max(once.get(stem, 0), end - start)
            start = end
    return every, sum(once.values())


class Line:
    """The blocks that a session's prompts begin with, until one goes on from less than the one
    before.

    Attributes:
        ids: those of full blocks.
    """

    def __init__(self) -> None:
        self.ids: Sequence[int] = []
        self._straight = True

    def follow(self, ids: Sequence[int]) -> None:
        """The next prompt has these full blocks."""
        self._straight = self._straight and ids[: len(self.ids)] == self.ids
        if self._straight:
            self.ids = ids


class Tree:
    """The prefix tree of recorded block ids, which are chained: one says all before it. A stem
    goes on from its last block to the next one until somebody goes on from there otherwise.

    Args:
        numbers: of stems, where several trees have some in common.

    Attributes:
        known: ids of all prompts so far, those of blocks that are not full among them.
        numbers: what stems are numbered by.
    """

    def __init__(self, numbers: Iterator[int] | None = None) -> None:
        self.known: set[int] = set()
        self.numbers = count() if numbers is None else numbers
        self._stems: dict[int, int] = {}
        self._last: dict[int, int] = {}  # stem -> its last block

    def add(self, ids: Sequence[int], full: int) -> None:
        """A prompt, of which so many blocks are full."""
        self.known.update(ids)
        stem, before = -1, -1
        for block in ids[:full]:
            if block not in self._stems:
                if self._last.get(stem) != before:
                    stem = next(self.numbers)
                self._stems[block] = stem
                self._last[stem] = block
            stem, before = self._stems[block], block

    def begin(self, ids: Sequence[int], stem: int) -> None:
        """Blocks that belong to a stem, unless they are known; nothing else goes on from it."""
        for block in ids:
            self._stems.setdefault(block, stem)

    def stems(self, line: Line, block_tokens: int) -> Stems:
        """Whose the blocks of a line are, all of which have been added."""
        ends = {self._stems[block]: end for end, block in enumerate(line.ids, start=1)}
        return tuple((stem, end * block_tokens) for stem, end in ends.items())
