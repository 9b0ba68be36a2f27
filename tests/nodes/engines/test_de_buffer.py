"""Claims: however a request ends, its DE buffer is the pool's, or free, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nodes.engines.budget import Budget
from nodes.engines.de_buffer import DeBuffer
from nodes.protocol.messages import Request
from nodes.storage.dram_pool import DramPool
from nodes.worlds.virtual.loop import run
from nodes.worlds.virtual.world import VirtualWorld
from tests.nodes.plans import TOKENS, make_plan
from tests.nodes.recording import recorded

PLAN = make_plan([])
ROWS = 10
"""Full Blocks of a request's prompt, to which it adds one."""
REQUEST = Request(1, 7, 0, ((0, ROWS + 1),), ROWS * TOKENS, ROWS * TOKENS, TOKENS, 0.0)


class Node:
    """A node's DRAM, as much as two requests need for buffers."""

    def __init__(self, world: VirtualWorld, pool_rows: int) -> None:
        self._world = world
        self.room = Budget("the DE buffer", 2 * ROWS * PLAN.block_bytes)
        self.pool = DramPool(world, pool_rows, lambda trajectory, held: None)

    def buffer(self) -> DeBuffer:
        return DeBuffer(self._world, PLAN, self.room, self.pool, REQUEST)

    @property
    def charged(self) -> float:
        """Full Blocks."""
        return (self.room.capacity - self.room.free) / PLAN.block_bytes

    @property
    def regions(self) -> int:
        return len(self._world._cluster.regions)

    async def pooled(self) -> None:
        """A request has been served, and its buffer is in the pool."""
        with self.buffer() as buffer:
            await buffer.find()
            await buffer.register()
            buffer.put_away(None)


def on_node(claim: Callable[[Node], Awaitable[None]], pool_rows: int = 100) -> None:
    async def main() -> None:
        async with recorded(PLAN, "de0") as (world, _):
            await claim(Node(world, pool_rows))

    run(main())


def test_into_the_pool_it_goes_with_its_region_but_without_its_charge() -> None:
    async def claim(node: Node) -> None:
        await node.pooled()
        assert node.pool.entry(REQUEST.agent) is not None
        assert (node.charged, node.regions) == (0, 1)

    on_node(claim)


def test_without_a_pool_it_is_free_as_soon_as_all_is_persisted() -> None:
    async def claim(node: Node) -> None:
        with node.buffer() as buffer:
            await buffer.find()
            memory = await buffer.register()
            persisted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            memory.use(persisted)
            buffer.put_away(persisted)
        assert (node.charged, node.regions) == (ROWS, 1)
        persisted.set_result(None)
        await asyncio.sleep(0)
        assert (node.charged, node.regions) == (0, 0)

    on_node(claim, pool_rows=0)


def test_rows_that_the_pool_has_cost_no_room() -> None:
    async def claim(node: Node) -> None:
        await node.pooled()
        with node.buffer() as buffer:
            assert await buffer.find() == ROWS
            await buffer.register()
            assert (node.charged, node.regions) == (0, 1)

    on_node(claim)


def test_broken_off_once_registered_it_is_free_and_the_pool_has_its_rows_again() -> None:
    async def claim(node: Node) -> None:
        await node.pooled()
        with node.buffer() as buffer:
            await buffer.find()
            await buffer.register()
        assert (node.charged, node.regions, node.pool.free) == (0, 0, 100)

    on_node(claim)


def test_broken_off_before_that_it_is_free_too() -> None:
    async def claim(node: Node) -> None:
        await node.pooled()
        with node.buffer() as buffer:
            await buffer.find()
        assert (node.charged, node.regions, node.pool.free) == (0, 0, 100)

    on_node(claim)


def test_cancelled_while_it_waits_for_room_it_takes_none() -> None:
    async def claim(node: Node) -> None:
        async def serve() -> None:
            with node.buffer() as buffer:
                await buffer.find()
                await buffer.register()

        with await node.room.lease(node.room.capacity):
            serving = asyncio.ensure_future(serve())
            await asyncio.sleep(1)
            serving.cancel()
            await asyncio.wait([serving])
        assert (node.charged, node.regions) == (0, 0)

    on_node(claim)
