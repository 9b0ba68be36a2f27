"""Plans to test with: small fat-trees, written out by the topology's own builder."""

from __future__ import annotations

from typing import Any

from controller.lanes import lane_table
from plan.deployment import BlockLayout, GpuSpec, ModelSpec, SchedulerConstants
from plan.fabric import Fabric
from plan.model import Plan
from plan.scale import Scale
from topology.fattree import FabricSpec, build_fabric


def make_fabric(**changes: Any) -> Fabric:
    """A k=4 compute plane of two pods unless `changes` say otherwise."""
    spec = {
        "prefill": 2,
        "decode": 2,
        "storage": 2,
        "gpus_per_node": 2,
        "snic_bps": 400e9,
        "cnic_bps": 400e9,
        "storage_bps": 400e9,
        "management_bps": 40e9,
        "k": 4,
    }
    return build_fabric(FabricSpec(**(spec | changes)))


def make_plan(fabric: Fabric, *, lanes: bool = True, byte_scale: float = 4000.0) -> Plan:
    return Plan(
        seed=1,
        scale=Scale(byte_scale=byte_scale, dilation=2.0),
        fabric=fabric,
        lanes=lane_table(enabled=lanes),
        layout=BlockLayout(tokens=64, groups=1, wire_bytes=1024),
        model=ModelSpec(
            name="m",
            layers=1,
            kv_bytes=1,
            linear_flops=1.0,
            attention_flops=1.0,
            weight_bytes=1.0,
            hidden=1,
        ),
        gpu=GpuSpec(name="g", flops=1.0, hbm_bytes=1.0, hbm_bytes_per_s=1.0),
        ep_group={},
        groups=(),
        constants=SchedulerConstants(alpha_tokens=1.0, beta_tokens=1.0),
        trajectories=(),
    )
