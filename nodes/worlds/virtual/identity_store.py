"""A storage host's blocks in virtual time: identities alone."""

from __future__ import annotations

from typing import cast

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Region
from nodes.worlds.virtual.identity_region import IdentityRegion


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
