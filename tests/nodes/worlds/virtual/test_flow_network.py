"""Claims: transfers take the time, and the links, that the fabric and its lanes allow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.lanes import Arbitration, lane_table
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.flow_routes import StaticRoutes, link_rates_bps
from nodes.worlds.virtual.loop import run, running
from plan.fabric import Fabric
from plan.lanes import LaneTable, TrafficClass
from tests.examples import tries
from tests.nodes.worlds.virtual.flows import sent
from topology.fattree import FabricSpec, build_fabric

GB = 1e9
LANES = lane_table()
RATE = 50 * GB  # bytes/s of a 400 Gbit/s NIC


def fabric(
    prefill: int = 2,
    decode: int = 2,
    gpus: int = 2,
    oversubscription: float = 1.0,
) -> Fabric:
    return build_fabric(
        FabricSpec(
            prefill=prefill,
            decode=decode,
            storage=2,
            gpus_per_node=gpus,
            snic_bps=400e9,
            cnic_bps=400e9,
            storage_bps=1600e9,
            management_bps=100e9,
            oversubscription=oversubscription,
        )
    )


Transfer = tuple[float, str, str, TrafficClass, float]
"""Start, source, target, class, bytes."""


def completions(
    world: Fabric,
    transfers: list[Transfer],
    lanes: LaneTable = LANES,
    **options: object,
) -> list[float]:
    """Model times at which transfers arrive."""

    async def main() -> list[float]:
        loop = running()
        network = FlowNetwork(loop.agenda, world, lanes, **options)  # type: ignore[arg-type]

        async def one(start: float, *what: object) -> float:
            await asyncio.sleep(start)
            await sent(network, *what)  # type: ignore[arg-type]
            return loop.time()

        return await asyncio.gather(*(one(*transfer) for transfer in transfers))

    return run(main())


def on_network(world: Fabric, program: Callable[[FlowNetwork], Awaitable[None]]) -> None:
    async def main() -> None:
        await program(FlowNetwork(running().agenda, world, lane_table()))

    run(main())


def test_a_lone_transfer_takes_its_size_over_the_narrowest_nic() -> None:
    assert completions(fabric(), [(0, "st0.snic", "pe0.snic", "storage", 100 * GB)]) == [2.0]


def test_reads_of_one_snic_share_it_and_speed_up_when_one_ends() -> None:
    reads: list[Transfer] = [
        (0, "st0.snic", "pe0.snic", "storage", 50 * GB),
        (0, "st1.snic", "pe0.snic", "storage", 100 * GB),
        (1, "st1.snic", "pe1.snic", "storage", 50 * GB),
    ]
    assert completions(fabric(), reads) == pytest.approx([2.0, 3.0, 2.0])


def test_a_late_start_slows_down_what_is_under_way() -> None:
    reads: list[Transfer] = [
        (0, "st0.snic", "de0.snic", "storage", 100 * GB),
        (1, "st0.snic", "de0.snic", "storage", 25 * GB),
    ]
    assert completions(fabric(), reads) == pytest.approx([2.5, 2.0])


def test_back_to_back_transfers_of_one_path_keep_its_rate() -> None:
    async def program(network: FlowNetwork) -> None:
        loop = running()
        other = sent(network, "pe0.dram0", "pe0.hbm0", "kv", 1000 * GB)
        for i in range(1, 6):
            await sent(network, "pe0.dram0", "pe0.hbm0", "kv", 25 * GB)
            assert loop.time() == pytest.approx(i)
        await other
        assert loop.time() == pytest.approx(22.5)

    on_network(fabric(), program)


def test_the_submission_cost_comes_before_the_first_byte() -> None:
    copy: Transfer = (0, "pe0.dram0", "pe0.hbm0", "kv", 50 * GB)
    assert completions(fabric(), [copy], submit_s=0.25) == [1.25]


def test_an_empty_transfer_is_done_at_once() -> None:
    assert completions(fabric(), [(3, "pe0.dram0", "pe0.hbm0", "kv", 0.0)]) == [3.0]


def test_an_h2d_copy_loads_its_own_cnic_both_ways_and_nothing_else() -> None:
    async def program(network: FlowNetwork) -> None:
        await sent(network, "de1.dram1", "de1.hbm1", "kv", 7 * GB)
        sample = network.counters(running().time())
        assert sample.nics.pop("de1.cnic1") == (7 * GB, 7 * GB)
        assert set(sample.nics.values()) == {(0.0, 0.0)}
        assert set(sample.links.values()) == {(0.0, 0.0)}
        assert sample.lanes["kv"] == (14 * GB, 0)

    on_network(fabric(), program)


def test_a_collective_hardly_notices_kv_traffic_and_kv_takes_what_is_left() -> None:
    mixed: list[Transfer] = [
        (0, "pe0.hbm0", "pe1.hbm0", "collective", 50 * GB),
        (0, "pe0.hbm0", "de0.dram0", "kv", 50 * GB),
    ]
    collective, kv = completions(fabric(), mixed)
    assert 1.0 < collective < 1.01
    assert kv == pytest.approx(2.0)


def test_with_equal_weights_in_the_low_table_collectives_and_kv_share_a_link_evenly() -> None:
    fair = Arbitration(vlarb_high=((1, 1),), vlarb_low=((0, 64), (2, 64), (3, 1)))
    mixed: list[Transfer] = [
        (0, "pe0.hbm0", "pe1.hbm0", "collective", 50 * GB),
        (0, "pe0.hbm0", "de0.dram0", "kv", 50 * GB),
    ]
    assert completions(fabric(), mixed, lane_table(fair)) == pytest.approx([2.0, 2.0])


def test_counters_follow_a_transfer_under_way() -> None:
    async def program(network: FlowNetwork) -> None:
        done = sent(network, "st0.snic", "pe0.snic", "storage", 100 * GB)
        await asyncio.sleep(0.5)
        sample = network.counters(0.5)
        assert sample.nics["st0.snic"] == pytest.approx((25 * GB, 0))
        assert sample.nics["pe0.snic"] == pytest.approx((0, 25 * GB))
        await done
        with pytest.raises(ValueError, match="present"):
            network.counters(0.5)

    on_network(fabric(), program)


def test_a_cancelled_wait_recalls_no_bytes() -> None:
    async def program(network: FlowNetwork) -> None:
        sent(network, "pe0.dram0", "pe0.hbm0", "kv", 50 * GB).cancel()
        await sent(network, "pe0.dram0", "pe0.hbm0", "kv", 50 * GB)
        assert running().time() == pytest.approx(2.0)

    on_network(fabric(), program)


@pytest.mark.parametrize("size", [-1.0, float("nan"), float("inf")])
def test_a_size_that_is_no_size_is_refused(size: float) -> None:
    async def program(network: FlowNetwork) -> None:
        with pytest.raises(ValueError, match="size_bytes"):
            sent(network, "pe0.dram0", "pe0.hbm0", "kv", size)

    on_network(fabric(), program)


def test_unknown_ends_and_other_planes_are_refused_by_name() -> None:
    async def program(network: FlowNetwork) -> None:
        with pytest.raises(ValueError, match=r"'pe9\.snic' is not in the fabric"):
            sent(network, "pe9.snic", "pe0.snic", "kv", 1.0)
        with pytest.raises(ValueError, match=r"no route from pe0\.snic \(storage\)"):
            sent(network, "pe0.snic", "pe0.hbm0", "kv", 1.0)

    on_network(fabric(), program)


def workload(world: Fabric, seed: int, count: int = 60) -> list[Transfer]:
    """Random transfers within each plane, with equal sizes and starts among them."""
    rng = random.Random(seed)
    by_plane: dict[str, list[str]] = {}
    for nic in world.nics:
        by_plane.setdefault(nic.plane, []).extend(end.name for end in nic.ends)
    transfers: list[Transfer] = []
    for _ in range(count):
        ends = by_plane[rng.choice(["compute", "storage"])]
        source, target = rng.sample(ends, 2)
        start, size = rng.choice([0.0, 1.0, rng.random()]), rng.choice([GB, 1e6, 9 * GB])
        traffic: TrafficClass = rng.choice(["kv", "kv", "storage", "collective", "control"])
        transfers.append((start, source, target, traffic, size))
    return transfers


@given(st.integers(0, 2**32))
@tries(25)
def test_when_all_has_arrived_the_counters_hold_every_byte_on_every_hop(seed: int) -> None:
    world = fabric(prefill=3, decode=3)
    transfers = workload(world, seed)
    paths = StaticRoutes(world)

    async def program(network: FlowNetwork) -> None:
        async def one(start: float, *what: object) -> None:
            await asyncio.sleep(start)
            await sent(network, *what)  # type: ignore[arg-type]

        await asyncio.gather(*(one(*transfer) for transfer in transfers))
        expected = [0.0] * len(link_rates_bps(world))
        for _, source, target, _, size in transfers:
            for link in paths(source, target):
                expected[link] += size
        sample = network.counters(running().time())
        carried = [*sample.nics.values(), *sample.links.values()]
        assert [x for pair in carried for x in pair] == pytest.approx(expected, rel=1e-12)
        assert sum(b for b, _ in sample.lanes.values()) == pytest.approx(sum(expected), rel=1e-12)

    on_network(world, program)


@given(st.integers(0, 2**32))
@tries(25)
def test_no_link_ever_carries_more_than_its_rate(seed: int) -> None:
    world = fabric(prefill=3, decode=3, oversubscription=2.0)
    transfers = workload(world, seed)

    async def program(network: FlowNetwork) -> None:
        loop = running()

        async def one(start: float, *what: object) -> None:
            await asyncio.sleep(start)
            await sent(network, *what)  # type: ignore[arg-type]

        def carried() -> list[float]:
            sample = network.counters(loop.time())
            pairs = [*sample.nics.values(), *sample.links.values()]
            return [direction for pair in pairs for direction in pair]

        busy = asyncio.gather(*(one(*transfer) for transfer in transfers))
        before = carried()
        while not busy.done():
            await asyncio.sleep(0.05)
            now = carried()
            for rate_bps, a, b in zip(link_rates_bps(world), before, now, strict=True):
                assert b - a > -1.0
                assert b - a < 0.05 * rate_bps / 8 * (1 + 1e-9) + 1.0
            before = now

    on_network(world, program)


@given(
    st.integers(0, 2**32),
    st.sampled_from([1.0, 1.5, 4.0]),
    st.integers(1, 5),
    st.integers(1, 5),
)
@tries(25)
def test_links_that_can_never_be_full_change_no_rate(
    seed: int, oversubscription: float, prefill: int, decode: int
) -> None:
    world = fabric(prefill, decode, oversubscription=oversubscription)
    transfers: list[Transfer] = [(*t[:3], "kv", t[4]) for t in workload(world, seed)]
    every_link = StaticRoutes(world)
    skipping = completions(world, transfers)
    assert skipping == pytest.approx(completions(world, transfers, routes=every_link), rel=1e-9)


def test_a_full_bisection_fabric_leaves_links_out_and_an_oversubscribed_one_fewer() -> None:
    full, thin = fabric(4, 4), fabric(4, 4, oversubscription=4.0)
    assert len(StaticRoutes(full).never_full()) >= len(full.links)
    assert len(StaticRoutes(thin).never_full()) < len(StaticRoutes(full).never_full())
