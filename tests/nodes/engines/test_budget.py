"""Claims: a budget is never overdrawn, nobody overtakes, and nothing of it is ever lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.engines.budget import Budget
from nodes.worlds.virtual.loop import run
from tests.examples import tries

CAPACITY = 10

Holder = tuple[int, int, int, int | None]
"""(model second of asking, amount, model seconds held, model second of being cancelled)."""


def test_more_than_all_of_it_is_refused_at_once() -> None:
    async def ask() -> None:
        await Budget("HBM of de0.0 (tokens)", 10).lease(11)

    with pytest.raises(ValueError, match=r"11 asked of HBM of de0\.0 \(tokens\), which has 10"):
        run(ask())


def test_a_small_request_does_not_overtake_a_large_one() -> None:
    served: list[str] = []

    async def main() -> None:
        budget = Budget("HBM", 10)

        async def take(name: str, amount: float) -> None:
            await budget.lease(amount)
            served.append(name)

        lease = await budget.lease(6)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(take("large", 8))
            tasks.create_task(take("small", 2))  # would fit now
            await asyncio.sleep(1)
            assert served == []
            lease.release()

    run(main())
    assert served == ["large", "small"]


def test_a_lease_is_given_back_once() -> None:
    async def main() -> float:
        budget = Budget("HBM", 10)
        with await budget.lease(4) as lease:
            lease.release()
            await budget.lease(10)
        return budget.free

    assert run(main()) == 0


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 5)), min_size=1, max_size=12))
def test_holders_never_hold_more_than_the_capacity(holders: list[tuple[int, int]]) -> None:
    """Each holder is (amount, model seconds held); all ask at once and all get it in turn."""
    held: list[int] = []
    turns: list[int] = []

    async def main() -> None:
        budget = Budget("HBM", 10)

        async def hold(index: int, amount: int, seconds: int) -> None:
            with await budget.lease(amount):
                turns.append(index)
                held.append(amount)
                assert sum(held) <= 10
                await asyncio.sleep(seconds)
                held.remove(amount)

        async with asyncio.TaskGroup() as tasks:
            for index, (amount, seconds) in enumerate(holders):
                tasks.create_task(hold(index, amount, seconds))
        assert budget.free == 10

    run(main())
    assert turns == list(range(len(holders)))


holders = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.integers(1, CAPACITY),
        st.integers(0, 5),
        st.none() | st.integers(0, 12),
    ),
    min_size=1,
    max_size=12,
)


class Story:
    """Holders of one budget, some of whom are cancelled, at any moment."""

    def __init__(self, holders: list[Holder]) -> None:
        self.budget = Budget("HBM", CAPACITY)
        self.holders = holders
        self.waiting: list[int] = []  # in the order of asking
        self.turns: list[tuple[int, list[int]]] = []  # whose, and who waited then
        self.held = 0

    async def hold(self, index: int) -> None:
        at_s, amount, seconds, _ = self.holders[index]
        await asyncio.sleep(at_s)
        self.waiting.append(index)
        try:
            with await self.budget.lease(amount):
                self.turns.append((index, list(self.waiting)))
                self.waiting.remove(index)
                self.held += amount
                try:
                    await asyncio.sleep(seconds)
                finally:
                    self.held -= amount
        finally:
            if index in self.waiting:
                self.waiting.remove(index)

    async def watch(self) -> None:
        """Between the seconds at which things happen, look at who waits and for what."""
        for second in range(100):
            await asyncio.sleep(second + 0.5 - asyncio.get_running_loop().time())
            assert self.budget.free == CAPACITY - self.held
            if self.waiting:
                _, amount, _, _ = self.holders[self.waiting[0]]
                assert amount > self.budget.free, "waits for room that is there"

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        watching = asyncio.ensure_future(self.watch())
        tasks = [asyncio.ensure_future(self.hold(i)) for i in range(len(self.holders))]
        for task, (_, _, _, cancelled_s) in zip(tasks, self.holders, strict=True):
            if cancelled_s is not None:
                loop.call_at(cancelled_s, task.cancel)
        await asyncio.wait(tasks)
        await watching


def told(holders: list[Holder]) -> Story:
    async def main() -> Story:
        story = Story(holders)
        await story.run()
        return story

    return run(main())


@given(holders)
@tries(300)
def test_whoever_is_cancelled_whenever_the_budget_is_full_again_and_nobody_waits_in_vain(
    holders: list[Holder],
) -> None:
    assert told(holders).budget.free == CAPACITY


@given(holders)
@tries(300)
def test_whoever_is_cancelled_those_who_asked_first_are_served_first(
    holders: list[Holder],
) -> None:
    for index, waiting in told(holders).turns:
        overtaken = waiting[: waiting.index(index)]
        # who is cancelled in this very instant may not have heard of it
        assert all(holders[i][3] is not None for i in overtaken)


def test_who_is_cancelled_just_as_its_turn_comes_gives_it_back() -> None:
    async def main() -> float:
        budget = Budget("HBM", 10)
        lease = await budget.lease(10)
        waiter = asyncio.ensure_future(budget.lease(7))
        await asyncio.sleep(1)
        lease.release()
        waiter.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled()
        return budget.free

    assert run(main()) == 10
