"""The rest of a plan, where a test cares for its fabric only."""

from __future__ import annotations

from controller.lanes import PAPER, lane_table
from plan.deployment import BlockLayout, GpuSpec, ModelSpec, SchedulerConstants
from plan.fabric import Fabric
from plan.model import Plan
from plan.scale import Scale
from scenarios.planning.egresses import all_egresses


def plan_of(
    fabric: Fabric, *, lanes: bool = True, byte_scale: float = 4000.0, dilation: float = 1.0
) -> Plan:
    """A plan of no model and no agents. At the default scale 400 Gbit/s are 100 Mbit/s on the
    wire."""
    return Plan(
        seed=1,
        scale=Scale(byte_scale=byte_scale, dilation=dilation),
        fabric=fabric,
        egresses=all_egresses(fabric),
        lanes=lane_table(PAPER if lanes else None),
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
