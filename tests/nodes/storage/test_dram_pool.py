"""Claims: what decode nodes keep in DRAM, for whom, and what it spares the storage NICs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.blocks import Runs, common, pieces, prefix, rows
from nodes.protocol.messages import Assign, Fetch, Report, Request, Submit
from nodes.protocol.world import Region
from nodes.scheduling.scheduler import SchedulerNode
from nodes.storage.dram_pool import DramPool, Entry
from nodes.worlds.virtual.loop import run
from nodes.worlds.virtual.world import VirtualWorld
from plan.deployment import System
from plan.model import Plan
from plan.workload import Trajectory
from tests.examples import tries
from tests.nodes.plans import (
    DRAM_POOL,
    DUALPATH,
    GROUPS,
    LAYER_BLOCK_BYTES,
    TOKENS,
    agent,
    make_plan,
)
from tests.nodes.recording import recorded
from tests.nodes.simulated import Simulated, simulate
from tests.nodes.test_virtual_run import plans

FULL_BLOCK = GROUPS * LAYER_BLOCK_BYTES
DUAL_POOL = System(name="dual-pool", dram_pool=True)
SPLIT_POOL = System(name="split-pool", paths="split", dram_pool=True)
TAKEN_IN_TURN = System(name="rr-pool", scheduler="round_robin", dram_pool=True)

# --- one pool


class Kept:
    """A pool of a few blocks, and what it told."""

    def __init__(self, world: VirtualWorld, rows: int) -> None:
        self.world = world
        self.told: list[tuple[int, bool]] = []
        self.pool = DramPool(world, rows, lambda *change: self.told.append(change))

    def keep(self, trajectory: int, rows: int, leased: Entry | None = None) -> Entry | None:
        region = leased.region if leased else self.world.allocate(rows)
        request = asked(trajectory, rows)
        return self.pool.keep(request, region, rows, rows, leased)

    def held(self) -> list[int]:
        return [t for t in range(10) if self.pool.entry(t) is not None]


def asked(trajectory: int, rows: int) -> Request:
    return Request(1, trajectory, 0, ((0, rows),), rows * TOKENS, rows * TOKENS, 1, 0.0)


def with_pool(rows: int, claim: Callable[[Kept], Awaitable[None]]) -> None:
    async def main() -> None:
        async with recorded(make_plan([]), "de0") as (world, _):
            await claim(Kept(world, rows))

    run(main())


def test_the_least_recently_used_goes_first() -> None:
    async def claim(kept: Kept) -> None:
        for trajectory in (1, 2, 3):
            kept.keep(trajectory, 3)
        leased = await kept.pool.lease(asked(1, 3))
        kept.keep(1, 3, leased)
        kept.keep(4, 2)
        assert kept.held() == [1, 3, 4]
        kept.keep(5, 2)
        assert kept.held() == [1, 4, 5]
        changes = [(1, True), (2, True), (3, True), (1, True)]
        assert kept.told == [*changes, (2, False), (4, True), (3, False), (5, True)]
        assert kept.pool.free == 9 - 3 - 2 - 2

    with_pool(9, claim)


def test_what_is_in_use_or_leased_stays_even_if_the_newest_then_has_no_room() -> None:
    async def claim(kept: Kept) -> None:
        used = kept.keep(1, 4)
        assert used is not None
        task = kept.world.spawn(asyncio.sleep(1.0))
        used.use(task)
        kept.keep(2, 4)
        leased = await kept.pool.lease(asked(2, 4))
        assert leased is not None
        assert kept.keep(3, 4) is None
        assert kept.held() == [1]
        await task
        assert kept.keep(3, 4) is not None
        assert kept.held() == [3]
        kept.pool.forget(2, leased)
        assert kept.pool.free == 4

    with_pool(8, claim)


def test_nothing_is_evicted_for_what_does_not_fit_anyway() -> None:
    async def claim(kept: Kept) -> None:
        kept.keep(1, 4)
        assert kept.keep(2, 9) is None
        assert kept.held() == [1]

    with_pool(8, claim)


def test_a_lease_waits_for_what_moves_in_the_entry() -> None:
    async def claim(kept: Kept) -> None:
        entry = kept.keep(1, 4)
        assert entry is not None
        entry.use(kept.world.spawn(asyncio.sleep(2.5)))
        assert await kept.pool.lease(asked(1, 5)) is entry
        assert kept.world.clock.now() == 2.5

    with_pool(8, claim)


def test_a_lease_whose_wait_is_cancelled_leaves_the_entry_where_it_was() -> None:
    async def claim(kept: Kept) -> None:
        entry = kept.keep(1, 4)
        assert entry is not None
        entry.use(kept.world.spawn(asyncio.sleep(2.5)))
        leasing = asyncio.ensure_future(kept.pool.lease(asked(1, 5)))
        await asyncio.sleep(1)
        leasing.cancel()
        await asyncio.wait([leasing])
        assert kept.pool.entry(1) is entry

    with_pool(8, claim)


def test_only_the_common_prefix_of_a_branch_is_ready() -> None:
    async def claim(kept: Kept) -> None:
        kept.keep(1, 6)
        branch = Request(2, 1, 1, ((0, 4), (6, 3)), 7 * TOKENS, 4 * TOKENS, 1, 0.0)
        entry = await kept.pool.lease(branch)
        assert entry is not None
        assert entry.ready == 4

    with_pool(8, claim)


contexts = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), max_size=3).map(
    lambda runs: tuple((10 * first, count) for first, count in runs)
)


@given(contexts, contexts)
def test_common_rows_are_those_before_the_first_difference(one: Runs, other: Runs) -> None:
    def ids(runs: Runs) -> list[int]:
        return [p.first_id + i for p in pieces(0, runs, 0, rows(runs)) for i in range(p.size)]

    found = common(one, other)
    assert ids(prefix(one, found)) == ids(prefix(other, found))
    assert found == common(other, one)
    assert common(one, one) == rows(one)


# --- whole turns

FIRST, APPEND = (1000, 270), 100
"""1270 tokens leave 19 Full Blocks behind, 15 of the prompt and 4 decoded."""
TURNS = agent(FIRST, (APPEND, 1))


def served(plan: Plan, system: System = DRAM_POOL, pool_bytes: float = 400e9) -> Simulated:
    return simulate(msgspec.structs.replace(plan, dram_pool_bytes=pool_bytes), system, 1.0)


def snic_reads(found: Simulated) -> dict[str, float]:
    last = found.samples[-1].nics
    return {nic: into for nic, (_, into) in last.items() if nic in ("pe0.snic", "de0.snic")}


def test_a_turn_behind_another_reads_nothing_from_storage() -> None:
    found = served(make_plan([TURNS]))
    assert [(r.hit_tokens, r.pool_tokens, r.path) for r in found.records] == [
        (0, 0, "pe"),
        (19 * TOKENS, 19 * TOKENS, "pool"),
    ]
    assert snic_reads(found) == {"pe0.snic": 0.0, "de0.snic": 0.0}


def test_hits_from_the_pool_cross_both_cnics_as_on_the_de_read_path() -> None:
    """Against two turns of which the second computes everything: 19 blocks more leave the
    decode node's CNIC and enter the prefill node's, and the PE sends 19 less."""
    nics = served(make_plan([TURNS])).samples[-1].nics
    cold = served(make_plan([agent(FIRST, (FIRST[0] + FIRST[1] + APPEND, 1, 0))])).samples[-1].nics
    hits = 19 * FULL_BLOCK
    assert nics["de0.cnic0"][0] - cold["de0.cnic0"][0] == pytest.approx(hits)
    assert nics["pe0.cnic0"][1] - cold["pe0.cnic0"][1] == pytest.approx(hits)
    assert cold["pe0.cnic0"][0] - nics["pe0.cnic0"][0] == pytest.approx(hits)


def test_everything_is_persisted_all_the_same() -> None:
    out = [
        served(make_plan([TURNS]), system).samples[-1].nics["de0.snic"][0]
        for system in (DRAM_POOL, DUALPATH)
    ]
    assert out[0] == pytest.approx(out[1])
    assert out[0] == pytest.approx(21 * FULL_BLOCK)


def test_what_does_not_fit_the_pool_is_read_from_storage() -> None:
    """The first turn needs 20 blocks."""
    fits = served(make_plan([TURNS]), pool_bytes=20 * FULL_BLOCK).records[1]
    lacks = served(make_plan([TURNS]), pool_bytes=19 * FULL_BLOCK).records[1]
    assert (fits.pool_tokens, fits.path) == (19 * TOKENS, "pool")
    assert (lacks.pool_tokens, lacks.path) == (0, "pe")
    assert fits.hit_tokens == lacks.hit_tokens == 19 * TOKENS


def test_rows_of_the_pool_take_no_room_in_the_de_buffer() -> None:
    """The second turn's prompt is 22 blocks, 20 of which the pool has set aside."""
    plan = msgspec.structs.replace(make_plan([TURNS]), dram_buffer_bytes=21 * FULL_BLOCK)
    assert len(served(plan).records) == 2
    with pytest.raises(ExceptionGroup) as caught:
        served(plan, pool_bytes=0)
    assert caught.group_contains(ValueError, match="the DE buffer of de0")


def test_preloaded_contexts_are_in_storage_not_in_the_pool() -> None:
    found = served(make_plan([agent((100, 1), (100, 1), preloaded=20 * TOKENS)]))
    assert [record.pool_tokens for record in found.records] == [0, 21 * TOKENS]
    assert snic_reads(found)["pe0.snic"] == pytest.approx(20 * FULL_BLOCK)


@pytest.mark.parametrize("system", [DRAM_POOL, DUALPATH], ids=lambda system: system.name)
def test_turns_stay_with_their_pool_only_where_there_is_one(system: System) -> None:
    """Two decode nodes; the short agent keeps the other one's tok_e down."""
    plan = make_plan([agent(*[(3000, 200)] * 4), agent(*[(50, 20)] * 12)], decode=2)
    nodes = [{r.de for r in served(plan, system).records if r.agent == a} for a in (0, 1)]
    assert (max(map(len, nodes)) == 1) == system.dram_pool


# --- the scheduler

HELD = Report("de1", (), 0, ((7, True),))


def assigned(plan: Plan, *reports: Report, total: int = 1100) -> Assign:
    """Where a request of trajectory 7 goes, after what decode nodes reported."""

    async def main() -> Assign:
        async with recorded(plan, "sched") as (world, sent):
            scheduler = SchedulerNode(world, plan, DRAM_POOL)
            for report in reports:
                scheduler.handle(Fetch(1, (report,)))
            request = Request(1, 7, 0, ((0, 18),), total - 100, 640, 100, 0.0)
            scheduler.handle(Submit(request))
            scheduler.handle(Fetch(0, (Report("pe0", (), 0),)))
            await asyncio.sleep(1)
        return next(message for _, message in sent if isinstance(message, Assign))

    return run(main())


def test_a_turn_goes_where_its_kv_cache_is_and_reads_nothing() -> None:
    here = assigned(make_plan([], decode=2), HELD)
    assert (here.de, here.pe_blocks) == ("de1.0", 0)


def test_without_an_entry_the_ordinary_rule_holds() -> None:
    gone = Report("de1", (), 0, ((7, False),))
    for reports in ([Report("de1", (), 0)], [HELD, gone]):
        assign = assigned(make_plan([], decode=2), *reports)
        assert (assign.de, assign.pe_blocks) == ("de0.0", 10)


def test_a_node_that_drops_an_old_entry_does_not_hide_the_new_one() -> None:
    newer = Report("de0", (), 0, ((7, True),))
    gone = Report("de1", (), 0, ((7, False),))
    assign = assigned(make_plan([], decode=2), HELD, newer, gone)
    assert (assign.de, assign.pe_blocks) == ("de0.0", 0)


# --- properties of any run


class Checked(DramPool):
    """Its books agree after every change."""

    capacity = 0.0

    def check(self) -> None:
        held = sum(entry.rows for entry in self._entries.values())
        assert self.free >= 0
        assert self.free + held <= self.capacity
        assert all(entry.ready <= entry.rows for entry in self._entries.values())

    def keep(
        self, request: Request, region: Region, rows: int, ready: int, leased: Entry | None
    ) -> Entry | None:
        self.capacity = self.capacity or self.free
        kept = super().keep(request, region, rows, ready, leased)
        self.check()
        return kept

    def forget(self, trajectory: int, leased: Entry) -> None:
        super().forget(trajectory, leased)
        self.check()


@tries(60)
@given(
    plans(),
    st.sampled_from([DRAM_POOL, DUAL_POOL, SPLIT_POOL, TAKEN_IN_TURN]),
    st.sampled_from([0, 5, 30, 200, 10_000]),
)
def test_whatever_the_pool_holds_no_block_is_corrupt(
    plan: Plan, system: System, pool_blocks: int
) -> None:
    with patch("nodes.engines.decode_node.DramPool", Checked):
        found = served(plan, system, pool_blocks * FULL_BLOCK)
    turns = sum(len(trajectory.turns) for trajectory in plan.trajectories)
    assert len(found.records) == turns
    assert sum(stats.blocks_corrupt for stats in found.stats) == 0
    prompts = sum(-(-record.prompt_tokens // TOKENS) for record in found.records)
    checked = sum(s.blocks_verified for s in found.stats if s.node.startswith("de"))
    assert checked == GROUPS * prompts
    assert all(0 <= record.pool_tokens <= record.hit_tokens for record in found.records)
    if not pool_blocks:
        assert not any(record.pool_tokens for record in found.records)


def test_a_working_set_that_fits_is_never_read_twice() -> None:
    agents: list[Trajectory] = [agent(*[(500, 70)] * 4, preloaded=6400) for _ in range(6)]
    found = served(make_plan(agents, gpus=2))
    assert snic_reads(found)["pe0.snic"] == pytest.approx(6 * 100 * FULL_BLOCK)
    later = [record for record in found.records if record.turn]
    assert all(record.pool_tokens == record.hit_tokens > 6400 for record in later)
