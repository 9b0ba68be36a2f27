"""What a transfer costs in the modelled network, against one sleep in the same loop.

Run with `pytest -m benchmark -s tests/benchmarks`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine

import pytest

from controller.lanes import lane_table
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.loop import VirtualTimeLoop, run, running
from plan.fabric import Fabric
from tests.nodes.worlds.virtual.flows import sent
from topology.fattree import FabricSpec, build_fabric

GBIT = 1e9
GPUS = 8
SLEEPS = 100_000


def cluster(prefill: int, decode: int) -> Fabric:
    """Full nodes of the paper's: g = 8, one 400 Gbit/s SNIC a node, ample storage."""
    return build_fabric(
        FabricSpec(
            prefill=prefill,
            decode=decode,
            storage=max(2, (prefill + decode) // 4),
            gpus_per_node=GPUS,
            snic_bps=400 * GBIT,
            cnic_bps=400 * GBIT,
            storage_bps=3200 * GBIT,
            management_bps=100 * GBIT,
        )
    )


async def replay(fabric: Fabric, streams_per_node: int, completions: int) -> tuple[float, int]:
    """Keep a DualPath-like mix of transfers going; CPU seconds and transfers done.

    In turn, each stream reads Full Blocks from storage into one node, at most three reads
    at once on each SNIC, and then moves the same bytes in a few layer groups between the
    DRAM and HBM of a PE and a DE, with a collective now and then.
    """
    loop = running()
    network = FlowNetwork(loop.agenda, fabric, lane_table())
    rng = random.Random(1)
    storage = [node.name for node in fabric.nodes_of("storage")]
    pes = [node.name for node in fabric.nodes_of("prefill")]
    des = [node.name for node in fabric.nodes_of("decode")]
    reading = {name: asyncio.Semaphore(3) for name in pes + des}
    left = completions

    async def stream() -> None:
        nonlocal left
        while left > 0:
            pe, de = rng.choice(pes), rng.choice(des)
            i, j = rng.randrange(GPUS), rng.randrange(GPUS)
            reader = rng.choice((pe, de))
            size = rng.uniform(20e6, 400e6)
            async with reading[reader]:
                await sent(
                    network, f"{rng.choice(storage)}.snic", f"{reader}.snic", "storage", size
                )
            layer = size / 4
            dram = f"{pe}.dram{i}" if reader == pe else f"{de}.dram{j}"
            for _ in range(4):
                await sent(network, dram, f"{pe}.hbm{i}", "kv", layer)
            for _ in range(4):
                await sent(network, f"{pe}.hbm{i}", f"{de}.dram{j}", "kv", layer)
            peer = f"{rng.choice(pes)}.hbm{rng.randrange(GPUS)}"
            if peer != f"{pe}.hbm{i}":
                await sent(network, f"{pe}.hbm{i}", peer, "collective", 1e6)
            await sent(network, f"{de}.dram{j}", f"{de}.hbm{j}", "kv", size)
            left -= 11

    started = time.process_time()
    streams = streams_per_node * (len(pes) + len(des))
    await asyncio.gather(*(stream() for _ in range(streams)))
    return time.process_time() - started, completions - left


async def sleeps() -> None:
    for _ in range(SLEEPS):
        await asyncio.sleep(1e-3)


def sleep_cost_s(runner: Callable[[Coroutine[None, None, None]], None] = run) -> float:
    """CPU seconds of one `asyncio.sleep` in virtual time: the reference."""
    started = time.process_time()
    runner(sleeps())
    return (time.process_time() - started) / SLEEPS


def cost_s(prefill: int, decode: int, completions: int) -> float:
    elapsed, done = run(replay(cluster(prefill, decode), 25, completions))
    return elapsed / done


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_a_transfer_costs_little_and_its_cost_does_not_follow_the_size_of_the_cluster() -> None:
    """24 times the cluster may cost more a transfer only as changes of rate reach further:
    in a large fabric about twice as many flows feel a start or an end as in a small one."""
    reference = sleep_cost_s()
    small = cost_s(2, 4, 200_000)
    large = cost_s(48, 96, 400_000)
    print(
        f"\none asyncio.sleep in virtual time {reference * 1e6:.2f} us;"
        f" a transfer in 2P4D (150 streams) {small * 1e6:.1f} us = {small / reference:.1f} sleeps,"
        f" in 48P96D (3600 streams) {large * 1e6:.1f} us = {large / reference:.1f} sleeps"
    )
    assert small < 40 * reference
    assert large < 4 * small


@pytest.mark.benchmark
def test_a_virtual_timer_costs_less_than_one_of_a_plain_loop() -> None:
    def timers(loop: asyncio.AbstractEventLoop) -> float:
        left = SLEEPS

        def tick() -> None:
            nonlocal left
            left -= 1
            if left:
                loop.call_at(loop.time(), tick)
            else:
                loop.stop()

        started = time.process_time()
        loop.call_soon(tick)
        loop.run_forever()
        loop.close()
        return (time.process_time() - started) / SLEEPS

    plain, virtual = timers(asyncio.new_event_loop()), timers(VirtualTimeLoop())
    print(f"\na timer: plain loop {plain * 1e6:.2f} us, virtual time {virtual * 1e6:.2f} us")
    assert virtual < plain
