"""A storage host's blocks on disk, in LMDB."""

from __future__ import annotations

import random
import struct
from itertools import islice
from pathlib import Path
from typing import cast

import lmdb

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Region
from nodes.worlds.sockets.byte_region import ByteRegion
from plan.errors import Broken

_KEY = struct.Struct(">II")


_MAP_BYTES = 64 << 30  # address space, not disk: the file grows as blocks come


class LmdbBlockStore:
    """Full Blocks in one LMDB file; the page cache is its only memory.

    Args:
        path: directory of the environment, created if missing.
        may_fill: the disk may run full, which must be an error of the write. The faster way is to
            write into mapped memory, where it would be the end of the process.
    """

    def __init__(self, path: Path, *, may_fill: bool = False) -> None:
        path.mkdir(parents=True, exist_ok=True)
        # a crash of the machine loses the run anyway, so commits need not reach the platter
        self._environment = lmdb.open(
            str(path), map_size=_MAP_BYTES, sync=False, metasync=False, writemap=not may_fill
        )

    def put(self, pieces: list[Piece], region: Region) -> None:
        region = cast(ByteRegion, region)
        blocks = (
            (_KEY.pack(piece.trajectory, piece.first_id + i), block)
            for piece in pieces
            for i, block in enumerate(region.full_blocks(piece.row, piece.size))
        )
        try:
            with (
                self._environment.begin(write=True) as transaction,
                transaction.cursor() as cursor,
            ):
                cursor.putmulti(blocks)
        except lmdb.Error as error:
            raise Broken(f"blocks cannot be stored: {error}") from error

    def load(self, pieces: list[Piece], region: Region) -> None:
        region = cast(ByteRegion, region)
        with (
            self._environment.begin(buffers=True) as transaction,
            transaction.cursor() as cursor,
        ):
            for piece in pieces:
                # one after another; what is missing shows by what is there in its place
                if cursor.set_range(_KEY.pack(piece.trajectory, piece.first_id)):
                    stored = islice(cursor.iternext(keys=False), piece.size)
                    region.put(piece.row, list(stored))

    def spoil(self, share: float, seed: int) -> int:
        """Flip a bit in a share of all blocks, one at least; returns in how many."""
        with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            keys = list(cursor.iternext(keys=True, values=False))
            count = min(len(keys), max(1, round(share * len(keys))))
            for key in random.Random(seed).sample(keys, count):
                block = bytearray(cast(bytes, transaction.get(key)))
                block[len(block) // 2] ^= 1
                transaction.put(key, block)
        return count

    def remove(self, trajectory: int) -> None:
        with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.set_range(_KEY.pack(trajectory, 0))
            # behind the last key there is an empty one
            while (key := cursor.key()) and _KEY.unpack(key)[0] == trajectory:
                cursor.delete()
