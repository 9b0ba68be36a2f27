"""Claims: over real sockets, what breaks fails what was posted on it, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from nodes.protocol.blocks import Piece
from nodes.protocol.messages import Message, Remote
from nodes.protocol.world import Move, Span
from nodes.worlds.sockets.recovering_world import RecoveringWorld
from plan.errors import BeginAnew, Broken
from plan.faults import Recovery
from plan.model import Plan
from tests.nodes.worlds.sockets.test_world import TIMEOUT_S, loopback_plan, report

BLOCKS = [Piece(0, 4, 0, 0)]


class _Over(Exception):
    """The test is done."""


Making = Callable[[str, int], Awaitable[RecoveringWorld]]


def with_lives(test: Callable[[Making], Awaitable[None]], plan: Plan | None = None) -> None:
    """Run a test that begins lives of nodes, which listen, all in this process."""
    plan = plan or loopback_plan()
    made: list[RecoveringWorld] = []

    async def main() -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:

                async def begin(node: str, life: int) -> RecoveringWorld:
                    world = RecoveringWorld(plan, Recovery(), node, {}, tasks, life)
                    made.append(world)
                    await world.open(lambda _: None)
                    return world

                await test(begin)
                for world in made:
                    world.close()
                raise _Over
        except* _Over:
            pass
        finally:
            for world in made:
                world.close()

    asyncio.run(main())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  no more than turns of the loop pass
        await asyncio.sleep(0)


async def write(source: RecoveringWorld, target: RecoveringWorld) -> None:
    region, there = source.allocate(4), target.allocate(4)
    region.fill(BLOCKS, None)
    remote = Remote("de0.dram0", there.key)
    await source.write("pe0.hbm0", [Move(region, Span(0, 4), remote, "kv")])
    assert there.corrupt(BLOCKS, None) == 0


def test_after_a_peer_died_postings_fail_until_its_next_life_listens() -> None:
    async def test(begin: Making) -> None:
        pe, de = await begin("pe0", 1), await begin("de0", 1)
        await write(pe, de)
        de.close()
        with pytest.raises(Broken):
            await write(pe, de)
        with pytest.raises(Broken):  # nobody listens
            await write(pe, de)
        await write(pe, await begin("de0", 2))

    with_lives(test)


def test_what_was_meant_for_one_life_finds_no_memory_in_another() -> None:
    async def test(begin: Making) -> None:
        pe, first = await begin("pe0", 1), await begin("de0", 1)
        old = first.allocate(4)
        first.close()
        second = await begin("de0", 2)
        new = second.allocate(4)
        assert new.key != old.key
        region = pe.allocate(4)
        region.fill(BLOCKS, None)
        before = bytes(new.payload(Span(0, 4)))
        lost = Move(region, Span(0, 4), Remote("de0.dram0", old.key), "kv")
        with pytest.raises(Broken):
            await pe.write("pe0.hbm0", [lost])
        assert bytes(new.payload(Span(0, 4))) == before

    with_lives(test)


def test_a_posting_over_several_pairs_fails_when_all_of_them_have_ended() -> None:
    async def test(begin: Making) -> None:
        pe, de = await begin("pe0", 1), await begin("de0", 1)
        there, gone = de.allocate(4), de.allocate(4)
        de.free(gone)
        region = pe.allocate(4)
        region.fill(BLOCKS, None)
        moves = [
            Move(region, Span(0, 4), Remote("de0.dram0", gone.key), "kv"),
            Move(region, Span(0, 4), Remote("de0.hbm0", there.key), "kv"),
        ]
        with pytest.raises(Broken, match=r"de0\.dram0"):
            await pe.write("pe0.hbm0", moves)
        assert there.corrupt(BLOCKS, None) == 0

    with_lives(test)


def test_messages_to_who_is_not_there_are_lost_and_later_ones_arrive() -> None:
    async def test(begin: Making) -> None:
        pe, scheduler = await begin("pe0", 1), await begin("sched", 1)
        heard: asyncio.Queue[Message] = asyncio.Queue()
        scheduler._handle = heard.put_nowait
        pe.send("sched", report(1))
        assert await heard.get() == report(1)
        scheduler.close()
        await until(lambda: "sched" not in pe._peers)  # the connection's end is noticed
        pe.send("sched", report(2))
        await until(lambda: "sched" not in pe._unsent)
        again = await begin("sched", 2)
        again._handle = heard.put_nowait
        pe.send("sched", report(3))
        assert await heard.get() == report(3)

    with_lives(test)


def test_who_is_to_begin_anew_ends_with_the_reason() -> None:
    async def test(begin: Making) -> None:
        (await begin("pe0", 1)).restart("it was taken for dead")
        await asyncio.get_running_loop().create_future()

    with pytest.raises(ExceptionGroup) as caught:
        with_lives(test)
    assert caught.group_contains(BeginAnew, match="taken for dead")
