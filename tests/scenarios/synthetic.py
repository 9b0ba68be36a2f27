"""Results made by hand: every figure in them is chosen, so that a test knows the answer."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping

from controller.lanes import lane_table
from plan.deployment import BlockLayout, SchedulerConstants
from plan.durations import Durations
from plan.model import Plan
from plan.records import (
    BacklogSample,
    CounterSample,
    Ending,
    ForwardRecord,
    NodeStats,
    RequestRecord,
)
from plan.scale import Scale
from plan.workload import Trajectory, Turn
from scenarios.configuration.models import GPUS, MODELS
from scenarios.configuration.systems import SYSTEMS
from scenarios.planning.egresses import all_egresses
from scenarios.results.result import SystemResult
from topology.fattree import FabricSpec, build_fabric

STEP_S = 0.5
AGENTS, TURNS = 8, 5


def make_plan(prefill: int = 1, decode: int = 1, gpus: int = 1) -> Plan:
    """A plan with SNICs of 50 Gbit/s and CNICs of 400 Gbit/s."""
    fabric = build_fabric(
        FabricSpec(
            prefill=prefill,
            decode=decode,
            storage=1,
            gpus_per_node=gpus,
            snic_bps=50e9,
            cnic_bps=400e9,
            storage_bps=50e9 * (prefill + decode),
            management_bps=100e9,
            k=4,
        )
    )
    return Plan(
        seed=1,
        scale=Scale(byte_scale=2000),
        fabric=fabric,
        egresses=all_egresses(fabric),
        lanes=lane_table(),
        layout=BlockLayout(tokens=64, groups=6, wire_bytes=256),
        model=MODELS["ds-27b"],
        gpu=GPUS["h800"],
        ep_group={"prefill": prefill * gpus, "decode": decode * gpus},
        groups=(("pe0",), ("de0",)),
        constants=SchedulerConstants(alpha_tokens=1e5, beta_tokens=1e5),
        trajectories=(Trajectory(name="any", turns=(Turn(1, 1),) * TURNS),) * AGENTS,
    )


def make_records(
    plan: Plan,
    jct_s: float,
    dual: bool,
    agents: int = AGENTS,
    turns: int = TURNS,
    noise: float = 0.0,
) -> list[RequestRecord]:
    """Each agent's turns back to back, the last done exactly at `jct_s`."""
    dice = random.Random(7)
    pes = itertools.cycle(node.name for node in plan.fabric.nodes_of("prefill"))
    des = itertools.cycle(node.name for node in plan.fabric.nodes_of("decode"))
    turn_s = jct_s / turns
    records: list[RequestRecord] = []
    for agent, turn in itertools.product(range(agents), range(turns)):
        at = turn * turn_s
        read_s = turn_s * 0.6 * (1 - noise * dice.random())
        records.append(
            RequestRecord(
                request=len(records),
                agent=agent,
                turn=turn,
                prompt_tokens=16_000 + 750 * turn,
                hit_tokens=15_400 + 750 * turn,
                gen_tokens=102,
                pe=f"{next(pes)}.0",
                de=f"{next(des)}.0",
                path="de" if dual and agent % 2 else "pe",
                submit_s=at,
                assigned_s=at + 0.01,
                read_start_s=at + 0.01,
                read_end_s=at + read_s,
                buffer_wait_s=0.002,
                ready_s=at + read_s,
                prefill_start_s=at + read_s,
                first_s=at + read_s + 0.1,
                second_s=at + read_s + 0.15,
                done_s=at + turn_s,
            )
        )
    return records


def make_samples(
    plan: Plan, jct_s: float, snic_use: Mapping[str, float], noise: float = 0.0
) -> list[CounterSample]:
    """Counters of a run in which each node's SNIC reads at a given share of its rate."""
    dice = random.Random(11)
    nics = {nic.name: [0.0, 0.0] for nic in plan.fabric.nics}
    links = {link.name: [0.0, 0.0] for link in plan.fabric.links}
    lanes = {lane.name: 0.0 for lane in plan.lanes.lanes}
    rates = {nic.name: nic.rate_bps / 8 for nic in plan.fabric.nics}

    def reading(step: int) -> CounterSample:
        return CounterSample(
            t_s=step * STEP_S,
            nics={name: (out, into) for name, (out, into) in nics.items()},
            links={name: (ab, ba) for name, (ab, ba) in links.items()},
            lanes={name: (count, 0) for name, count in lanes.items()},
        )

    samples = [reading(0)]
    for step in range(1, round(jct_s / STEP_S) + 1):
        for node, use in snic_use.items():
            level = min(1.0, use * (1 + noise * (dice.random() - 0.5)))
            size = level * rates[f"{node}.snic"] * STEP_S
            nics[f"{node}.snic"][1] += size
            nics["st0.snic"][0] += size
            nics[f"{node}.cnic0"][0] += 2 * size
            nics[f"{node}.cnic0"][1] += 3 * size
            lanes["kv"] += 12 * size
            lanes["collective"] += 0.3 * size * (1 + noise * dice.random())
            lanes["control"] += 0.01 * size
        for link in plan.fabric.links:
            links[link.name][0] += dice.random() * link.rate_bps / 16 * STEP_S
        samples.append(reading(step))
    return samples


def make_stats(jct_s: float) -> NodeStats:
    """Of the prefill node: forwards whose longest attention is 1.25 times the average, a tenth
    of the time at the barrier, collectives of 1 and 3 ms that could have taken 1 ms."""
    taken = Durations()
    for duration_s in (1e-3, 3e-3):
        taken.add(duration_s)
    return NodeStats(
        node="pe0",
        blocks_verified=500,
        lateness_s=(1e-4, 8e-4, 3e-3),
        cpu_s=jct_s / 2,
        bubble_s=jct_s / 10,
        collectives_s=taken,
        collectives_wire_s=2e-3,
        forwards=[
            ForwardRecord(
                t_s=float(second),
                engines=2,
                tokens=500,
                attention_max_s=0.25,
                attention_mean_s=0.2,
            )
            for second in range(int(jct_s))
        ],
    )


def make_backlog(jct_s: float) -> list[BacklogSample]:
    """20 MB of KV-Cache before the PE's SNIC and 5 MB of it at storage, once a second."""
    queues = {"pe0.snic in": {"kv": 20e6}, "st0.snic out": {"kv": 5e6}}
    return [BacklogSample(t_s=float(second), queues=queues) for second in range(int(jct_s))]


def make_result(
    plan: Plan,
    name: str,
    jct_s: float,
    snic_use: Mapping[str, float],
    noise: float = 0.0,
    *,
    drops: Mapping[str, int] | None = None,
    complete: bool = True,
    stats: NodeStats | None = None,
) -> SystemResult:
    """A whole result of a built-in system."""
    system = SYSTEMS[name]
    return SystemResult(
        system=system,
        records=make_records(plan, jct_s, system.paths == "dual", noise=noise),
        samples=make_samples(plan, jct_s, snic_use, noise),
        node_stats=[stats or make_stats(jct_s)],
        drops=drops or {},
        complete=complete,
        ending=Ending(ended_by="all served" if complete else "broken off", from_s=0.0, to_s=jct_s),
        wall_s=jct_s,
        backlog=make_backlog(jct_s),
    )


def basic_and_dualpath(noise: float = 0.0) -> tuple[Plan, list[SystemResult]]:
    """Basic in 38 s with a full PE SNIC, DualPath in 20 s with both full."""
    plan = make_plan()
    return plan, [
        make_result(plan, "basic", 38.0, {"pe0": 1.0, "de0": 0.0}, noise),
        make_result(plan, "dualpath", 20.0, {"pe0": 1.0, "de0": 1.0}, noise),
    ]
