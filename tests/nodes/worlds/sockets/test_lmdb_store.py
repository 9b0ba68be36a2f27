"""Claims: blocks at rest can be spoilt, and a full disk is an error that leaves all as it was."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from nodes.protocol.blocks import Piece
from nodes.worlds.sockets.byte_region import ByteRegion
from nodes.worlds.sockets.lmdb_store import LmdbBlockStore
from plan.deployment import BlockLayout
from plan.errors import Broken

LAYOUT = BlockLayout(tokens=64, groups=2, wire_bytes=4096)
BLOCKS = 16


def held(key: int, trajectory: int) -> tuple[ByteRegion, list[Piece]]:
    region, pieces = ByteRegion(key, BLOCKS, LAYOUT), [Piece(0, BLOCKS, trajectory, 0)]
    region.fill(pieces, None)
    return region, pieces


def loaded(store: LmdbBlockStore, pieces: list[Piece]) -> int:
    """How many Layer Blocks are not what they should be."""
    region = ByteRegion(99, BLOCKS, LAYOUT)
    store.load(pieces, region)
    return region.corrupt(pieces, None)


def test_a_share_of_the_blocks_is_spoilt_and_noticed_where_they_are_used(tmp_path: Path) -> None:
    store = LmdbBlockStore(tmp_path, may_fill=True)
    region, pieces = held(1, 0)
    store.put(pieces, region)
    assert loaded(store, pieces) == 0
    assert store.spoil(0.25, seed=1) == BLOCKS // 4
    assert loaded(store, pieces) == BLOCKS // 4


def test_a_full_disk_is_an_error_and_what_was_there_stays(tmp_path: Path) -> None:
    store = LmdbBlockStore(tmp_path, may_fill=True)
    region, pieces = held(1, 0)
    store.put(pieces, region)
    size = (tmp_path / "data.mdb").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        other, elsewhere = held(2, 1)
        with pytest.raises(Broken, match="cannot be stored"):
            store.put(elsewhere, other)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert loaded(store, pieces) == 0
    store.put(elsewhere, other)
    assert loaded(store, elsewhere) == 0
