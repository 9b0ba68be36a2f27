"""Claims: a Layer Block is known by every one of its bits, wherever it has travelled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Span
from nodes.worlds.sockets.byte_region import ByteRegion
from plan.deployment import MIN_BLOCK_BYTES, BlockLayout

LAYOUT = BlockLayout(tokens=64, groups=3, wire_bytes=MIN_BLOCK_BYTES + 12)
BLOCKS = [Piece(0, 3, 5, 40), Piece(3, 2, 5, 90)]
ROWS = 5


def filled() -> ByteRegion:
    region = ByteRegion(1, ROWS, LAYOUT)
    region.fill(BLOCKS, None)
    return region


def test_what_was_filled_in_is_intact() -> None:
    assert filled().corrupt(BLOCKS, None) == 0


def test_fresh_memory_holds_nothing() -> None:
    assert ByteRegion(1, ROWS, LAYOUT).corrupt(BLOCKS, None) == ROWS * LAYOUT.groups


def test_a_group_that_was_not_filled_is_missing() -> None:
    region = ByteRegion(1, ROWS, LAYOUT)
    region.fill(BLOCKS, 1)
    assert [region.corrupt(BLOCKS, group) for group in range(3)] == [ROWS, 0, ROWS]


@given(st.integers(0, ROWS * LAYOUT.groups * LAYOUT.wire_bytes * 8 - 1))
def test_one_flipped_bit_is_one_corrupt_layer_block(bit: int) -> None:
    region = filled()
    memory = region.landing(Span(0, ROWS))
    assert memory is not None
    memory[bit // 8] ^= 1 << bit % 8
    assert region.corrupt(BLOCKS, None) == 1


@pytest.mark.parametrize(
    "wrong",
    [Piece(0, 3, 6, 40), Piece(0, 3, 5, 41)],
    ids=["another trajectory", "another block"],
)
def test_an_intact_block_of_another_identity_is_corrupt(wrong: Piece) -> None:
    assert filled().corrupt([wrong], None) == 3 * LAYOUT.groups


def test_a_block_of_another_group_is_corrupt() -> None:
    region, other = filled(), ByteRegion(2, ROWS, LAYOUT)
    other.place(Span(0, ROWS, 1), region.payload(Span(0, ROWS, 0)))
    assert other.corrupt(BLOCKS, 1) == ROWS


def test_full_blocks_travel_in_place() -> None:
    there = ByteRegion(2, ROWS + 4, LAYOUT)
    landing = there.landing(Span(4, 4 + ROWS))
    assert landing is not None
    landing[:] = filled().payload(Span(0, ROWS))
    assert there.corrupt([piece._replace(row=piece.row + 4) for piece in BLOCKS], None) == 0


def test_layer_blocks_travel_as_a_column() -> None:
    there = ByteRegion(2, ROWS, LAYOUT)
    assert there.landing(Span(1, 4, 2)) is None
    there.place(Span(1, 4, 2), filled().payload(Span(1, 4, 2)))
    assert there.corrupt(BLOCKS, 2) == 2  # rows 0 and 4 stayed behind


def test_stored_full_blocks_return_to_consecutive_rows() -> None:
    there = ByteRegion(2, ROWS, LAYOUT)
    there.put(0, [filled().payload(Span(row, row + 1)) for row in range(ROWS)])
    assert there.corrupt(BLOCKS, None) == 0
