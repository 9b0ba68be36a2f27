"""Plans to test node code with: small clusters of a preset model, whose sizes are exact."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import msgspec

from controller.lanes import lane_table
from plan.deployment import BlockLayout, GpuSpec, SchedulerConstants, System
from plan.fabric import End, Fabric, Nic
from plan.model import Plan
from plan.scale import Scale
from plan.workload import Trajectory, Turn
from scenarios.configuration.models import MODELS
from scenarios.planning.egresses import all_egresses
from topology.fattree import FabricSpec, build_fabric

TOKENS = 64
GROUPS = 6
WIRE_BYTES = 64
MODEL = MODELS["ds-27b"]
GPU = GpuSpec(
    name="test",
    flops=370e12,
    hbm_bytes=80 * 2**30,
    hbm_bytes_per_s=3.35e12,
    decode_layer_s=0.455e-3,
)
"""Its own, whatever the presets are calibrated to."""
LAYER_BLOCK_BYTES = TOKENS * MODEL.token_bytes // GROUPS
"""A Layer Block here stands for five layers of 64 tokens; model bytes."""

BASIC = System(name="basic", layerwise=False, paths="pe", scheduler="round_robin")
LAYERWISE = System(name="layerwise", paths="pe", scheduler="round_robin")
DUAL = System(name="dual", scheduler="round_robin")
DUALPATH = System(name="dualpath")
SPLIT = System(name="split", paths="split")
ORACLE = System(name="oracle", io=False)
DRAM_POOL = System(name="dram-pool", paths="pe", dram_pool=True)
SYSTEMS = (BASIC, LAYERWISE, DUAL, DUALPATH, SPLIT, ORACLE, DRAM_POOL)


def agent(*turns: tuple[int, int] | tuple[int, int, int], preloaded: int = 0) -> Trajectory:
    """An agent from its turns as (append, gen) or (append, gen, keep)."""
    return Trajectory(name="agent", turns=tuple(Turn(*turn) for turn in turns), preloaded=preloaded)


def make_plan(
    agents: Sequence[Trajectory],
    *,
    prefill: int = 1,
    decode: int = 1,
    gpus: int = 1,
    storage: int = 1,
    snic_bps: float = 50e9,
    cnic_bps: float = 400e9,
    alpha_tokens: float = 100_000,
    beta_tokens: float = 500_000,
    quota_s: float = 0.3,
    collectives: Literal["alltoall", "tensor"] | None = None,
    dram_buffer_bytes: float = 80e9,
) -> Plan:
    """A plan of DS 27B; every plane is one switch or a small fat-tree."""
    fabric = build_fabric(
        FabricSpec(
            prefill=prefill,
            decode=decode,
            storage=storage,
            gpus_per_node=gpus,
            snic_bps=snic_bps,
            cnic_bps=cnic_bps,
            storage_bps=snic_bps * (prefill + decode) / storage,
            management_bps=100e9,
        )
    )
    return Plan(
        seed=1,
        scale=Scale(byte_scale=LAYER_BLOCK_BYTES / WIRE_BYTES),
        fabric=fabric,
        egresses=all_egresses(fabric),
        lanes=lane_table(),
        layout=BlockLayout(tokens=TOKENS, groups=GROUPS, wire_bytes=WIRE_BYTES),
        model=MODEL,
        gpu=GPU,
        ep_group={"prefill": prefill * gpus, "decode": decode * gpus},
        groups=(
            tuple(node.name for node in fabric.nodes_of("prefill")),
            tuple(node.name for node in fabric.nodes_of("decode")),
        ),
        constants=SchedulerConstants(
            alpha_tokens=alpha_tokens, beta_tokens=beta_tokens, quota_s=quota_s
        ),
        trajectories=tuple(agents),
        collectives=collectives,
        dram_buffer_bytes=dram_buffer_bytes,
    )


def on_loopback(plan: Plan) -> Plan:
    """The same plan with every end at 127.x.y.z, x of this process: no root, no clashes."""
    return msgspec.structs.replace(
        plan,
        fabric=msgspec.structs.replace(
            plan.fabric, nics=tuple(_moved(nic) for nic in plan.fabric.nics)
        ),
    )


def _moved(nic: Nic) -> Nic:
    return msgspec.structs.replace(nic, ends=tuple(_at_home(end) for end in nic.ends))


def _at_home(end: End) -> End:
    _, subnet, high, low = end.ip.split(".")
    return msgspec.structs.replace(
        end, ip=f"127.{1 + os.getpid() % 250}.{16 * int(subnet) + int(high)}.{low}"
    )


def with_bandwidth(fabric: Fabric, factor: float) -> Fabric:
    """Every NIC and every link `factor` times as fast."""
    return msgspec.structs.replace(
        fabric,
        nics=tuple(msgspec.structs.replace(n, rate_bps=factor * n.rate_bps) for n in fabric.nics),
        links=tuple(msgspec.structs.replace(x, rate_bps=factor * x.rate_bps) for x in fabric.links),
    )
