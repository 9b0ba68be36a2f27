"""Claims: what was asked for apart is told as one read or store, when the last part is over."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.blocks import Share
from nodes.storage.together import read_together, stored_together
from plan.errors import ReadBroken

Parts = list[tuple[int, int]]
"""Of each share its rows, and how many of them are held; -1: the read fails."""


@st.composite
def parts(draw: st.DrawFn) -> Parts:
    counts = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    return [(count, draw(st.integers(-1, count))) for count in counts]


def whole(parts: Parts) -> int | None:
    """Up to which row all is held; None: that cannot be told."""
    reached = 0
    for count, held in parts:
        if held < 0:
            return None
        reached += held
        if held < count:
            break
    return reached


@given(parts(), st.randoms(use_true_random=False))
def test_a_read_comes_as_far_as_its_parts_without_a_gap(parts: Parts, random: Random) -> None:
    async def read() -> int:
        reads, row = [], 0
        for owner, (count, _) in enumerate(parts):
            part: asyncio.Future[int] = asyncio.Future()
            reads.append((Share(owner, ((0, count),), row), part))
            row += count
        joined = read_together(reads, 0)
        order = list(range(len(parts)))
        random.shuffle(order)
        for number in order:
            await asyncio.sleep(0)
            assert not joined.done()
            held, part = parts[number][1], reads[number][1]
            if held < 0:
                part.set_exception(ReadBroken("torn"))
                part.exception()
            else:
                part.set_result(held)
        return await joined

    if (reached := whole(parts)) is None:
        with pytest.raises(ReadBroken, match="torn"):
            asyncio.run(read())
    else:
        assert asyncio.run(read()) == reached


def test_a_store_is_over_with_its_last_part_and_may_be_given_up() -> None:
    async def store() -> None:
        first, last = asyncio.Future[None](), asyncio.Future[None]()
        joined, given_up = stored_together([first, last]), stored_together([first, last])
        given_up.cancel()
        first.set_result(None)
        await asyncio.sleep(0)
        assert not joined.done()
        last.set_result(None)
        await joined

    asyncio.run(store())
