"""Where storage keeps Full Blocks: an LMDB environment on disk, or identities only."""

from __future__ import annotations

from typing import Protocol

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Region


class BlockStore(Protocol):
    """Full Blocks by (trajectory, block id)."""

    def put(self, pieces: list[Piece], region: Region) -> None:
        """Persist the rows of `pieces` from a region.

        Raises:
            Broken: there is no room.
        """

    def load(self, pieces: list[Piece], region: Region) -> None:
        """Bring blocks from the store into the rows of a region."""

    def remove(self, trajectory: int) -> None:
        """Give up all blocks of a trajectory; their place is used again."""
