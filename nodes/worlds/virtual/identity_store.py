"""A storage host's blocks in virtual time: identities alone."""

from __future__ import annotations

import random
from typing import cast

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Region
from nodes.worlds.virtual.identity_region import IdentityRegion
from plan.errors import Broken

_NOBODY = -1
"""A trajectory that is none: whose blocks those are that have been spoilt."""


class IdentityBlockStore:
    """For virtual time: what is held is known to the trie; loading restores identities."""

    def put(self, pieces: list[Piece], region: Region) -> None:
        region = cast(IdentityRegion, region)
        for piece in pieces:
            if region.corrupt([piece], None):
                raise ValueError(f"storing {piece}: the region does not hold it whole")

    def load(self, pieces: list[Piece], region: Region) -> None:
        region.fill(pieces, None)

    def remove(self, trajectory: int) -> None:
        """There is nothing to give up."""


class SpoilableStore(IdentityBlockStore):
    """Blocks that may be spoilt at rest, on a disk that may be full.

    Attributes:
        full: nothing more is stored.
    """

    def __init__(self) -> None:
        self.full = False
        self._held: dict[int, set[int]] = {}
        self._spoilt: set[tuple[int, int]] = set()
        self._times = 0

    def put(self, pieces: list[Piece], region: Region) -> None:
        """Raises `Broken` where the disk is full."""
        if self.full:
            raise Broken("the disk is full")
        IdentityBlockStore.put(self, pieces, region)
        for _, size, trajectory, first_id in pieces:
            ids = range(first_id, first_id + size)
            self._held.setdefault(trajectory, set()).update(ids)
            if self._spoilt:
                self._spoilt.difference_update((trajectory, block) for block in ids)

    def load(self, pieces: list[Piece], region: Region) -> None:
        IdentityBlockStore.load(self, pieces, region)
        if not self._spoilt:
            return
        for row, size, trajectory, first_id in pieces:
            for block in range(first_id, first_id + size):
                if (trajectory, block) in self._spoilt:
                    region.fill([Piece(row + block - first_id, 1, _NOBODY, block)], None)

    def remove(self, trajectory: int) -> None:
        gone = self._held.pop(trajectory, set())
        self._spoilt.difference_update((trajectory, block) for block in gone)

    def spoil(self, share: float) -> int:
        """A share of the blocks turn into others, the same ones of the same blocks; returns how
        many."""
        self._times += 1
        blocks = sorted((owner, block) for owner, held in self._held.items() for block in held)
        if not blocks:
            return 0
        chosen = random.Random(self._times).sample(blocks, max(1, round(share * len(blocks))))
        self._spoilt.update(chosen)
        return len(chosen)
