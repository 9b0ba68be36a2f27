"""Claims: memory is given back when nobody holds it and nothing moves in or out any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nodes.engines.budget import Budget
from nodes.engines.memory import Memory, allocated
from nodes.worlds.virtual.loop import run
from nodes.worlds.virtual.world import VirtualWorld
from tests.nodes.plans import make_plan
from tests.nodes.recording import recorded


class Held:
    """Memory of which 6 of a budget of 10 are leased."""

    def __init__(self, memory: Memory, budget: Budget, world: VirtualWorld) -> None:
        self.memory = memory
        self._budget = budget
        self._regions = world._cluster.regions

    @property
    def given_back(self) -> bool:
        freed = self.memory.region.key not in self._regions
        assert freed == (self._budget.free == 10)
        return freed


def with_memory(claim: Callable[[Held], Awaitable[None]]) -> None:
    async def main() -> None:
        async with recorded(make_plan([]), "de0") as (world, _):
            budget = Budget("DRAM", 10)
            memory = allocated(world, 3, await budget.lease(6))
            await claim(Held(memory, budget, world))

    run(main())


def transfer() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def test_at_the_end_of_a_with_it_is_given_back() -> None:
    async def claim(held: Held) -> None:
        with held.memory:
            assert not held.given_back
        assert held.given_back

    with_memory(claim)


def test_it_waits_for_every_transfer_that_uses_it() -> None:
    async def claim(held: Held) -> None:
        transfers = [transfer(), transfer()]
        for one in transfers:
            held.memory.use(one)
        held.memory.let_go()
        for one in transfers:
            assert not held.given_back
            one.set_result(None)
            await asyncio.sleep(0)
        assert held.given_back

    with_memory(claim)


def test_letting_go_twice_is_letting_go_once() -> None:
    async def claim(held: Held) -> None:
        with held.memory:
            held.memory.let_go()
        assert held.given_back

    with_memory(claim)


def test_a_cancelled_wait_does_not_end_the_transfers() -> None:
    async def claim(held: Held) -> None:
        moving = transfer()
        held.memory.use(moving)
        waiting = asyncio.ensure_future(held.memory.settled())
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert not moving.done()

    with_memory(claim)


def test_what_was_handed_over_stays_and_costs_its_former_holder_nothing() -> None:
    async def claim(held: Held) -> None:
        with held.memory:
            held.memory.hand_over()
        assert held._budget.free == 10
        assert held.memory.region.key in held._regions

    with_memory(claim)
