"""Claims: identities in virtual time say what the bytes they stand for would say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Span
from nodes.worlds.sockets.byte_region import ByteRegion
from nodes.worlds.virtual.identity_region import IdentityRegion
from plan.deployment import MIN_BLOCK_BYTES, BlockLayout

LAYOUT = BlockLayout(tokens=64, groups=2, wire_bytes=MIN_BLOCK_BYTES)
ROWS = 8

groups = st.none() | st.integers(0, LAYOUT.groups - 1)


@st.composite
def placed(draw: st.DrawFn) -> Piece:
    """A piece somewhere in the region; few identities, so that they meet."""
    row = draw(st.integers(0, ROWS - 1))
    size = draw(st.integers(1, ROWS - row))
    return Piece(row, size, draw(st.integers(0, 1)), row + draw(st.integers(0, 1)))


filled = st.lists(st.tuples(placed(), groups), max_size=6)


def both(fills: list[tuple[Piece, int | None]]) -> tuple[IdentityRegion, ByteRegion]:
    identities, memory = IdentityRegion(1, ROWS, LAYOUT.groups), ByteRegion(1, ROWS, LAYOUT)
    for piece, group in fills:
        identities.fill([piece], group)
        memory.fill([piece], group)
    return identities, memory


@given(filled, placed(), groups)
def test_as_many_blocks_are_corrupt_as_in_bytes(
    fills: list[tuple[Piece, int | None]], wanted: Piece, group: int | None
) -> None:
    identities, memory = both(fills)
    assert identities.corrupt([wanted], group) == memory.corrupt([wanted], group)


@given(filled, st.integers(0, ROWS - 1), st.integers(1, ROWS), groups, placed())
def test_a_copy_of_a_span_is_as_corrupt_as_a_copy_of_its_bytes(
    fills: list[tuple[Piece, int | None]], lo: int, size: int, group: int | None, wanted: Piece
) -> None:
    """Full Blocks with a wrong Layer Block among their groups count as wrong in all of them."""
    identities, memory = both(fills)
    span = Span(lo, min(ROWS, lo + size), group)
    copied, copied_memory = both([])
    copied.fill(identities.content(span), group)
    if group is None:
        landing = copied_memory.landing(span)
        assert landing is not None
        landing[:] = memory.payload(span)
        rows = [
            wanted._replace(row=wanted.row + i, size=1, first_id=wanted.first_id + i)
            for i in range(wanted.size)
        ]
        expected = sum(bool(copied_memory.corrupt([row], None)) for row in rows) * LAYOUT.groups
    else:
        copied_memory.place(span, memory.payload(span))
        expected = copied_memory.corrupt([wanted], None)
    assert copied.corrupt([wanted], None) == expected


def test_a_wrong_block_takes_the_place_of_the_right_one() -> None:
    region = IdentityRegion(1, 4, 2)
    region.fill([Piece(0, 4, 5, 10)], None)
    region.fill([Piece(1, 1, 5, 99)], 1)
    assert region.corrupt([Piece(0, 4, 5, 10)], None) == 1


def test_what_lies_outside_the_region_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the region's 4 rows"):
        IdentityRegion(1, 4, 2).fill([Piece(2, 3, 5, 10)], None)
