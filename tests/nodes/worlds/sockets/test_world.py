"""Claims: the same node code serves requests over real sockets, here on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from nodes.agents.population import AgentPopulation
from nodes.engines.prefill_node import PrefillNode
from nodes.protocol.blocks import Piece
from nodes.protocol.messages import Attempt, Message, Remote, Report
from nodes.protocol.world import Move, Region, Span
from nodes.roles import make_node
from nodes.worlds.sockets.byte_region import ByteRegion
from nodes.worlds.sockets.lmdb_store import LmdbBlockStore
from nodes.worlds.sockets.world import SocketWorld
from plan.deployment import System
from plan.errors import RunError
from plan.model import Plan
from plan.records import NodeStats, RequestRecord
from plan.scale import Scale
from tests.nodes.plans import (
    DUAL,
    GROUPS,
    LAYER_BLOCK_BYTES,
    ORACLE,
    TOKENS,
    WIRE_BYTES,
    agent,
    make_plan,
    on_loopback,
)

TIMEOUT_S = 20
"""A run that hangs fails its test."""
DILATION = 0.2
TURN = agent((3 * TOKENS + 5, 70), preloaded=4 * TOKENS)


def loopback_plan(agents: int = 1) -> Plan:
    plan = on_loopback(make_plan([TURN] * agents))
    scale = Scale(byte_scale=LAYER_BLOCK_BYTES / WIRE_BYTES, dilation=DILATION)
    return msgspec.structs.replace(plan, scale=scale)


class _Over(Exception):
    """The test is done."""


def with_worlds(
    plan: Plan, test: Callable[[dict[str, SocketWorld], asyncio.TaskGroup], Awaitable[None]]
) -> None:
    """Run a test with an unopened world for every node, all in this process."""

    async def main() -> None:
        worlds: dict[str, SocketWorld] = {}
        try:
            async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
                worlds = {
                    node.name: SocketWorld(plan, node.name, {}, tasks) for node in plan.fabric.nodes
                }
                await test(worlds, tasks)
                for world in worlds.values():  # nothing may arrive for tasks that have ended
                    world.close()
                raise _Over
        except* _Over:
            pass
        finally:
            for world in worlds.values():
                world.close()

    asyncio.run(main())


def served(
    plan: Plan, system: System, path: Path, store: type[LmdbBlockStore] = LmdbBlockStore
) -> tuple[list[RequestRecord], dict[str, NodeStats]]:
    """Serve the plan's agents over sockets to the end."""
    records: list[RequestRecord] = []
    stats: dict[str, NodeStats] = {}

    async def test(worlds: dict[str, SocketWorld], _: asyncio.TaskGroup) -> None:
        programs = []
        for node in plan.fabric.nodes:
            kept = store(path / node.name) if node.kind == "storage" else None
            program = make_node(worlds[node.name], plan, system, kept, records.append)
            await worlds[node.name].open(program.handle)
            programs.append(program)
        for program in programs:
            program.start()
        (agents,) = (p for p in programs if isinstance(p, AgentPopulation))
        await agents.completed
        stats.update({name: world.stats for name, world in worlds.items()})

    with_worlds(plan, test)
    return records, stats


@pytest.mark.parametrize("agents", [1, 2], ids=["pe path", "both paths"])
def test_a_request_from_storage_to_its_last_token(agents: int, tmp_path: Path) -> None:
    records, stats = served(loopback_plan(agents), DUAL, tmp_path)
    assert sorted(record.path or "" for record in records) == ["de", "pe"][2 - agents :]
    for record in records:
        assert record.hit_tokens == 4 * TOKENS
        assert record.done_s is not None
    rows = 8
    assert stats["pe0"].blocks_verified == agents * 4 * GROUPS
    assert stats["de0"].blocks_verified == agents * rows * GROUPS
    assert sum(one.blocks_corrupt for one in stats.values()) == 0


def test_the_oracle_needs_no_data_connection(tmp_path: Path) -> None:
    records, stats = served(loopback_plan(), ORACLE, tmp_path)
    assert len(records) == 1
    assert sum(one.blocks_verified for one in stats.values()) == 0


class _FlippedBit(LmdbBlockStore):
    """A disk that returns one bit of every first block wrong."""

    def load(self, pieces: list[Piece], region: Region) -> None:
        super().load(pieces, region)
        assert isinstance(region, ByteRegion)
        first = region.landing(Span(pieces[0].row, pieces[0].row + 1))
        assert first is not None
        first[17] ^= 8


def test_a_bit_flipped_in_storage_is_noticed_where_it_is_used(tmp_path: Path) -> None:
    _, stats = served(loopback_plan(2), DUAL, tmp_path, _FlippedBit)
    assert stats["pe0"].blocks_corrupt == stats["de0"].blocks_corrupt == 2


def report(number: int) -> Report:
    return Report("pe0", (Attempt(number, 1),), 0)


def test_control_messages_arrive_in_the_order_of_sending() -> None:
    """The first ones wait for the connection."""
    got: list[Message] = []

    async def test(worlds: dict[str, SocketWorld], _: asyncio.TaskGroup) -> None:
        complete = asyncio.get_running_loop().create_future()

        def handle(message: Message) -> None:
            got.append(message)
            if len(got) == 100:
                complete.set_result(None)

        await worlds["sched"].open(handle)
        for number in range(50):
            worlds["pe0"].send("sched", report(number))
        await asyncio.sleep(0)
        for number in range(50, 100):
            worlds["pe0"].send("sched", report(number))
        await complete

    with_worlds(loopback_plan(), test)
    assert got == [report(number) for number in range(100)]


def test_verbs_posted_before_the_connection_stands_keep_their_order() -> None:
    """A read posted behind a write sees what was written."""
    blocks = [Piece(0, 4, 0, 0)]

    async def test(worlds: dict[str, SocketWorld], _: asyncio.TaskGroup) -> None:
        pe, de = worlds["pe0"], worlds["de0"]
        await de.open(lambda message: None)
        source, back, target = pe.allocate(4), pe.allocate(4), de.allocate(4)
        source.fill(blocks, None)
        remote = Remote("de0.dram0", target.key)
        pe.write("pe0.hbm0", [Move(source, Span(0, 4), remote, "kv")])
        await pe.read("pe0.hbm0", [Move(back, Span(0, 4), remote, "kv")])
        assert back.corrupt(blocks, None) == 0

    with_worlds(loopback_plan(), test)


def test_an_error_in_a_handler_ends_the_run(tmp_path: Path) -> None:
    def broken(self: PrefillNode, message: Message) -> None:
        raise KeyError("broken on purpose")

    with (
        patch.object(PrefillNode, "handle", broken),
        pytest.raises(ExceptionGroup) as caught,
    ):
        served(loopback_plan(), DUAL, tmp_path)
    assert caught.group_contains(KeyError, match="broken on purpose")


def test_a_dead_peer_ends_the_run() -> None:
    async def test(worlds: dict[str, SocketWorld], tasks: asyncio.TaskGroup) -> None:
        heard = asyncio.get_running_loop().create_future()
        await worlds["sched"].open(heard.set_result)
        worlds["pe0"].send("sched", report(1))
        await heard
        for writer in worlds["pe0"]._peers.values():
            writer.close()
        await asyncio.get_running_loop().create_future()

    with pytest.raises(ExceptionGroup) as caught:
        with_worlds(loopback_plan(), test)
    assert caught.group_contains(RunError, match=r"control connection \S+ broke")


def test_a_region_that_was_freed_ends_the_run_of_who_names_it() -> None:
    async def test(worlds: dict[str, SocketWorld], _: asyncio.TaskGroup) -> None:
        pe, de = worlds["pe0"], worlds["de0"]
        await de.open(lambda message: None)
        gone = de.allocate(1)
        de.free(gone)
        remote = Remote("de0.dram0", gone.key)
        await pe.read("pe0.hbm0", [Move(pe.allocate(1), Span(0, 1), remote, "kv")])

    with pytest.raises(ExceptionGroup) as caught:
        with_worlds(loopback_plan(), test)
    assert caught.group_contains(RunError, match="not registered here")


def test_nothing_overtakes_on_the_dram_bus_however_late_an_alarm_is() -> None:
    """The last of what is posted together stands for all of it."""
    passed: list[str] = []
    wire_bytes = 64 << 10

    async def test(worlds: dict[str, SocketWorld], _: asyncio.TaskGroup) -> None:
        world, over = worlds["de0"], asyncio.get_running_loop().create_future()
        world._pass_dram(wire_bytes, lambda: passed.append("first"))
        world._pass_dram(wire_bytes, lambda: passed.append("second"))
        takes_s = world._plan.scale.model_bytes(2 * wire_bytes) / world._plan.dram_bytes_per_s
        idle_s = world.clock.now() + takes_s
        while world.clock.now() < idle_s:
            """The second has had its turn, and the process has not seen its alarm yet."""
        world._pass_dram(1, lambda: over.set_result("third"))
        passed.append(await over)

    with_worlds(loopback_plan(), test)
    assert passed == ["first", "second", "third"]
