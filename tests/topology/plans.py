"""Small plans to test with."""

from __future__ import annotations

from typing import Any

from controller.lanes import lane_table
from plan.deployment import BlockLayout, GpuSpec, ModelSpec, SchedulerConstants
from plan.model import Plan
from plan.scale import Scale
from topology.fattree import FabricSpec, build_fabric


def make_plan(
    *, lanes: bool = True, byte_scale: float = 4000.0, dilation: float = 1.0, **changes: Any
) -> Plan:
    """A plan for two nodes of one GPU each and one storage host, unless `changes` say else.

    At the default scale a CNIC of 400 Gbit/s is 100 Mbit/s on the wire.
    """
    spec = {
        "prefill": 1,
        "decode": 1,
        "storage": 1,
        "gpus_per_node": 1,
        "snic_bps": 100e9,
        "cnic_bps": 400e9,
        "storage_bps": 200e9,
        "management_bps": 40e9,
    }
    return Plan(
        seed=1,
        scale=Scale(byte_scale=byte_scale, dilation=dilation),
        fabric=build_fabric(FabricSpec(**(spec | changes))),
        lanes=lane_table(enabled=lanes),
        layout=BlockLayout(tokens=64, groups=1, wire_bytes=1024),
        model=ModelSpec(
            name="any",
            layers=1,
            kv_bytes=1,
            linear_flops=1.0,
            attention_flops=1.0,
            weight_bytes=1.0,
            hidden=1,
        ),
        gpu=GpuSpec(name="any", flops=1.0, hbm_bytes=1.0, hbm_bytes_per_s=1.0),
        ep_group={},
        groups=(),
        constants=SchedulerConstants(alpha_tokens=1.0, beta_tokens=1.0),
        trajectories=(),
        dram_buffer_bytes=1e12,
    )
