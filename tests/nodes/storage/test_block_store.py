"""Claims: storage gives back what it was given, from disk, and a fault there is seen."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from nodes.protocol.blocks import Piece
from nodes.worlds.sockets.byte_region import ByteRegion
from nodes.worlds.sockets.lmdb_store import LmdbBlockStore
from nodes.worlds.virtual.identity_region import IdentityRegion
from nodes.worlds.virtual.identity_store import IdentityBlockStore
from plan.deployment import BlockLayout

LAYOUT = BlockLayout(tokens=64, groups=3, wire_bytes=64)
STORED = [Piece(0, 3, 5, 40), Piece(3, 2, 5, 90)]


def region(blocks: list[Piece]) -> ByteRegion:
    made = ByteRegion(1, 5, LAYOUT)
    made.fill(blocks, None)
    return made


def stored_at(path: Path) -> None:
    LmdbBlockStore(path).put(STORED, region(STORED))


def test_blocks_survive_the_process_that_stored_them(tmp_path: Path) -> None:
    stored_at(tmp_path)
    fresh = region([])
    LmdbBlockStore(tmp_path).load(STORED, fresh)
    assert fresh.corrupt(STORED, None) == 0


def test_blocks_can_be_loaded_into_other_rows(tmp_path: Path) -> None:
    stored_at(tmp_path)
    fresh, there = region([]), [Piece(1, 2, 5, 41), Piece(0, 1, 5, 91)]
    LmdbBlockStore(tmp_path).load(there, fresh)
    assert fresh.corrupt(there, None) == 0


def test_a_bit_flipped_on_disk_is_one_corrupt_layer_block(tmp_path: Path) -> None:
    stored_at(tmp_path)
    flip_a_bit(tmp_path)
    fresh = region([])
    LmdbBlockStore(tmp_path).load(STORED, fresh)
    assert fresh.corrupt(STORED, None) == 1


def flip_a_bit(path: Path) -> None:
    """Flip one bit in the payload of the first stored block."""
    with lmdb.open(str(path), writemap=True) as environment, environment.begin(write=True) as edit:
        cursor = edit.cursor()
        cursor.first()
        value = bytearray(cursor.value())
        value[20] ^= 4
        cursor.put(cursor.key(), bytes(value))


def test_a_block_that_was_never_stored_is_not_made_up(tmp_path: Path) -> None:
    stored_at(tmp_path)
    fresh = region([])
    LmdbBlockStore(tmp_path).load([Piece(0, 4, 5, 40)], fresh)
    assert fresh.corrupt([Piece(0, 4, 5, 40)], None) == LAYOUT.groups


@pytest.mark.parametrize("gone", [4, 5, 6])
def test_a_trajectory_that_is_removed_is_gone_alone_and_its_place_is_used_again(
    gone: int, tmp_path: Path
) -> None:
    store = LmdbBlockStore(tmp_path)
    held = {agent: [piece._replace(trajectory=agent) for piece in STORED] for agent in (4, 5, 6)}
    for blocks in held.values():
        store.put(blocks, region(blocks))
    for _ in range(50):
        store.remove(gone)
        for agent, blocks in held.items():
            fresh = region([])
            store.load(blocks, fresh)
            lost = LAYOUT.groups * len([row for piece in blocks for row in range(piece.size)])
            assert fresh.corrupt(blocks, None) == (lost if agent == gone else 0)
        store.put(held[gone], region(held[gone]))
    used = (tmp_path / "data.mdb").stat().st_blocks
    for _ in range(50):
        store.remove(gone)
        store.put(held[gone], region(held[gone]))
    assert (tmp_path / "data.mdb").stat().st_blocks == used


def test_identities_are_restored_by_loading() -> None:
    fresh = IdentityRegion(1, 5, LAYOUT.groups)
    IdentityBlockStore().load(STORED, fresh)
    assert fresh.corrupt(STORED, None) == 0


def test_a_block_with_a_layer_missing_is_not_stored() -> None:
    partial = IdentityRegion(1, 5, LAYOUT.groups)
    for group in range(LAYOUT.groups - 1):
        partial.fill(STORED, group)
    with pytest.raises(ValueError, match="does not hold it whole"):
        IdentityBlockStore().put(STORED, partial)
