"""Claims: a budget is never overdrawn, and nobody overtakes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.engines.budget import Budget
from nodes.worlds.virtual.loop import run


def test_more_than_all_of_it_is_refused_at_once() -> None:
    async def ask() -> None:
        await Budget("HBM of de0.0 (tokens)", 10).take(11)

    with pytest.raises(ValueError, match=r"11 asked of HBM of de0\.0 \(tokens\), which has 10"):
        run(ask())


def test_a_small_request_does_not_overtake_a_large_one() -> None:
    served: list[str] = []

    async def main() -> None:
        budget = Budget("HBM", 10)

        async def take(name: str, amount: float) -> None:
            await budget.take(amount)
            served.append(name)

        await budget.take(6)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(take("large", 8))
            tasks.create_task(take("small", 2))  # would fit now
            await asyncio.sleep(1)
            assert served == []
            budget.give_back(6)

    run(main())
    assert served == ["large", "small"]


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 5)), min_size=1, max_size=12))
def test_holders_never_hold_more_than_the_capacity(holders: list[tuple[int, int]]) -> None:
    """Each holder is (amount, model seconds held); all ask at once and all get it in turn."""
    held: list[int] = []
    turns: list[int] = []

    async def main() -> None:
        budget = Budget("HBM", 10)

        async def hold(index: int, amount: int, seconds: int) -> None:
            await budget.take(amount)
            turns.append(index)
            held.append(amount)
            assert sum(held) <= 10
            await asyncio.sleep(seconds)
            held.remove(amount)
            budget.give_back(amount)

        async with asyncio.TaskGroup() as tasks:
            for index, (amount, seconds) in enumerate(holders):
                tasks.create_task(hold(index, amount, seconds))
        assert budget.free == 10

    run(main())
    assert turns == list(range(len(holders)))
