"""Claims: a storage host serves the held prefix, and what was persisted in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.blocks import Runs, pieces
from nodes.protocol.messages import (
    BlocksRead,
    BlocksStored,
    Left,
    Message,
    ReadBlocks,
    Remote,
    StoreBlocks,
)
from nodes.storage.server import StorageNode
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.identity_store import IdentityBlockStore
from nodes.worlds.virtual.loop import VirtualTimeLoop, run
from nodes.worlds.virtual.world import VirtualClock, VirtualCluster, VirtualWorld
from plan.fabric import storage_host
from tests.examples import tries
from tests.nodes.plans import agent, make_plan

AGENT = 0


class Client:
    """A prefill node that asks one storage host and waits for each answer."""

    def __init__(self, cluster: VirtualCluster, storage: StorageNode) -> None:
        self._storage = storage
        self.world = VirtualWorld(cluster, "pe0")
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        cluster.handlers["pe0"] = self._answers.put_nowait

    async def known(self) -> int:
        """Of how many agents the host still knows anything, when it has heard all."""
        await self.world.clock.sleep_until(self.world.clock.now() + 1)
        return self._storage.agents

    async def held(self, runs: Runs, rows: int, lo: int = 0) -> int:
        """Up to which row a read of rows `lo ..` brings blocks; checks that they are right."""
        buffer = self.world.allocate(rows)
        remote = Remote("pe0.snic", buffer.key)
        self.world.send("st0", ReadBlocks(1, "pe0", AGENT, runs, lo, remote, 0))
        answer = await self._answers.get()
        assert isinstance(answer, BlocksRead)
        brought = [p._replace(row=p.row - lo) for p in pieces(AGENT, runs, lo, answer.upto)]
        assert buffer.corrupt(brought, None) == 0
        return answer.upto

    async def store(self, runs: Runs, lo: int, hi: int) -> None:
        """Persist rows `lo .. hi` of a context, which stand at row 2 on of a buffer."""
        buffer = self.world.allocate(2 + hi - lo)
        there = [p._replace(row=p.row - lo + 2) for p in pieces(AGENT, runs, lo, hi)]
        buffer.fill(there, None)
        remote = Remote("pe0.snic", buffer.key)
        self.world.send("st0", StoreBlocks(1, "pe0", AGENT, runs, lo, hi, remote, 2))
        assert isinstance(await self._answers.get(), BlocksStored)


def with_storage(
    test: Callable[[Client], Awaitable[None]], preloaded: int = 0, block_s: float = 0.0
) -> None:
    """Run a test against one storage host in virtual time."""
    plan = make_plan([agent((1, 1), preloaded=preloaded)])

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        async with asyncio.TaskGroup() as tasks:
            cluster = VirtualCluster(
                plan, tasks, loop, FlowNetwork(loop.agenda, plan.fabric, plan.lanes)
            )
            storage = StorageNode(
                VirtualWorld(cluster, "st0"),
                IdentityBlockStore(),
                plan.layout,
                lambda _: ((0, preloaded // 64),),
                block_s=block_s,
            )
            cluster.handlers["st0"] = storage.handle
            await test(Client(cluster, storage))

    run(main())


def test_a_preloaded_context_is_there_in_full_blocks() -> None:
    async def test(client: Client) -> None:
        assert await client.held(((0, 9),), 9) == 5

    with_storage(test, preloaded=5 * 64 + 63)


def test_the_rest_of_a_context_can_be_read_alone() -> None:
    async def test(client: Client) -> None:
        assert await client.held(((0, 9),), 9, lo=3) == 5

    with_storage(test, preloaded=5 * 64)


def test_nothing_is_read_of_a_context_that_is_not_there() -> None:
    async def test(client: Client) -> None:
        assert await client.held(((0, 9),), 9) == 0

    with_storage(test)


def test_blocks_persisted_before_their_predecessors_wait_for_them() -> None:
    async def test(client: Client) -> None:
        await client.store(((0, 6),), 4, 6)
        assert await client.held(((0, 6),), 6) == 0
        await client.store(((0, 4),), 0, 4)
        assert await client.held(((0, 6),), 6) == 6

    with_storage(test)


def test_a_branch_whose_predecessors_are_missing_does_not_hold_up_another() -> None:
    async def test(client: Client) -> None:
        await client.store(((0, 2), (9, 2)), 3, 4)  # row 2 of this branch is still to come
        await client.store(((0, 2), (5, 2)), 2, 4)
        assert await client.held(((0, 2), (5, 2)), 4) == 4
        await client.store(((0, 2), (9, 2)), 2, 3)
        assert await client.held(((0, 2), (9, 2)), 4) == 4

    with_storage(test, preloaded=2 * 64)


def test_what_an_agent_left_is_gone_and_what_comes_late_is_not_kept() -> None:
    async def test(client: Client) -> None:
        await client.store(((0, 6),), 4, 6)
        await client.store(((0, 4),), 0, 4)
        client.world.send("st0", Left(AGENT, AGENT))
        await client.store(((0, 7),), 6, 7)
        client.world.send("st0", Left(AGENT + 1, AGENT + 2))
        await client.store(((0, 8),), 7, 8)
        assert await client.known() == 0

    with_storage(test)


@tries(30)
@given(st.permutations(range(6)))
def test_rows_persisted_one_by_one_in_any_order_are_all_found(order: list[int]) -> None:
    runs = ((0, 3), (7, 3))

    async def test(client: Client) -> None:
        stored: set[int] = set()
        for row in order:
            await client.store(runs, row, row + 1)
            stored.add(row)
            reached = next(n for n in range(7) if n not in stored)
            assert await client.held(runs, 6) == reached

    with_storage(test)


def test_trajectories_are_spread_over_the_storage_hosts() -> None:
    hosts = ["st0", "st1", "st2"]
    assert [storage_host(hosts, n) for n in range(6)] == hosts * 2


def test_a_read_that_takes_longer_than_its_rate_asks_for_sets_no_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be late, and a sign of a busy machine that is none."""
    set_s: list[tuple[float, float]] = []
    sleep = VirtualClock.sleep_until

    def noting(clock: VirtualClock, deadline_s: float) -> asyncio.Future[None]:
        set_s.append((clock.now(), deadline_s))
        return sleep(clock, deadline_s)

    async def test(client: Client) -> None:
        await client.held(((0, 9),), 9)

    monkeypatch.setattr(VirtualClock, "sleep_until", noting)
    for block_s, alarms in ((1e-9, 0), (1.0, 1)):
        set_s.clear()
        with_storage(test, preloaded=9 * 64, block_s=block_s)
        assert len(set_s) == alarms
        assert all(deadline_s > at_s for at_s, deadline_s in set_s)


@given(st.integers(1, 9), st.sampled_from([1.0, 1e-9]))
def test_a_read_takes_what_its_rate_asks_for_or_its_nics_if_that_is_longer(
    blocks: int, block_s: float
) -> None:
    took_s = {}

    for least_s in (0.0, block_s):

        async def test(client: Client, least_s: float = least_s) -> None:
            begun_s = client.world.clock.now()
            assert await client.held(((0, blocks),), blocks) == blocks
            took_s[least_s] = client.world.clock.now() - begun_s

        with_storage(test, preloaded=blocks * 64, block_s=least_s)
    messages_s = 2 * 50e-6
    assert took_s[block_s] == pytest.approx(max(took_s[0.0], blocks * block_s + messages_s))
