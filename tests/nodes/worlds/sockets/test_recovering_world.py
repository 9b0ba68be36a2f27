"""Claims: over real sockets, what breaks fails what was posted on it, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

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


class Making(Protocol):
    def __call__(
        self, node: str, life: int, handle: Callable[[Message], None] = ...
    ) -> Awaitable[RecoveringWorld]: ...


def with_lives(test: Callable[[Making], Awaitable[None]], plan: Plan | None = None) -> None:
    """Run a test that begins lives of nodes, which listen, all in this process."""
    plan = plan or loopback_plan()
    made: list[RecoveringWorld] = []

    async def main() -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:

                async def begin(
                    node: str, life: int, handle: Callable[[Message], None] = lambda _: None
                ) -> RecoveringWorld:
                    world = RecoveringWorld(plan, Recovery(), node, {}, tasks, life)
                    made.append(world)
                    await world.open(handle)
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
        heard: asyncio.Queue[Message] = asyncio.Queue()
        pe, scheduler = await begin("pe0", 1), await begin("sched", 1, heard.put_nowait)
        pe.send("sched", report(1))
        assert await heard.get() == report(1)
        scheduler.close()
        await until(lambda: "sched" not in pe._peers)  # the connection's end is noticed
        pe.send("sched", report(2))
        await until(lambda: "sched" not in pe._unsent)
        await begin("sched", 2, heard.put_nowait)
        pe.send("sched", report(3))
        assert await heard.get() == report(3)

    with_lives(test)


def test_with_a_peer_s_new_life_all_is_connected_anew() -> None:
    """Of a peer that lost its power no connection ends, so nothing else would tell."""

    async def test(begin: Making) -> None:
        heard: asyncio.Queue[Message] = asyncio.Queue()
        pe, de = await begin("pe0", 1), await begin("de0", 1, heard.put_nowait)
        pe.send("de0", report(1))
        assert await heard.get() == report(1)
        await write(pe, de)
        stale, pairs = pe._peers["de0"], set(pe._pairs.values())
        pe.living({"de0": 1})
        assert pe._peers["de0"] is stale
        pe.living({"de0": 2})
        pe.send("de0", report(2))
        assert await heard.get() == report(2)
        await write(pe, de)
        assert pe._peers["de0"] is not stale
        assert stale.is_closing()
        assert not pairs & set(pe._pairs.values())

    with_lives(test)


def test_what_is_under_way_to_a_life_that_is_over_fails_when_the_next_is_known() -> None:
    async def test(begin: Making) -> None:
        pe, de = await begin("pe0", 1), await begin("de0", 1)
        await write(pe, de)
        region, there = pe.allocate(4), de.allocate(4)
        move = Move(region, Span(0, 4), Remote("de0.dram0", there.key), "kv")
        posted = pe.write("pe0.hbm0", [move])
        pe.living({"de0": 2})
        with pytest.raises(Broken, match="life 2 of de0 has begun"):
            await posted

    with_lives(test)


def test_a_peer_s_first_word_is_its_life_and_is_not_for_the_node() -> None:
    async def test(begin: Making) -> None:
        first: asyncio.Queue[Message] = asyncio.Queue()
        later: asyncio.Queue[Message] = asyncio.Queue()
        storage = await begin("st0", 1, later.put_nowait)
        pe = await begin("pe0", 1, first.put_nowait)
        storage.send("pe0", report(1))
        assert await first.get() == report(1)
        pe.close()
        here, gone = socket.socketpair()  # which does not say so
        with gone:
            _, stale = await asyncio.open_connection(sock=here)
            storage._peers["pe0"] = stale
            again = await begin("pe0", 2)
            again.send("st0", report(2))
            assert await later.get() == report(2)
            assert stale.is_closing()
            assert "pe0" not in storage._peers

    with_lives(test)


def test_who_is_to_begin_anew_ends_with_the_reason() -> None:
    async def test(begin: Making) -> None:
        (await begin("pe0", 1)).restart("it was taken for dead")
        await asyncio.get_running_loop().create_future()

    with pytest.raises(ExceptionGroup) as caught:
        with_lives(test)
    assert caught.group_contains(BeginAnew, match="taken for dead")
