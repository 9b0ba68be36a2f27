"""Small plans to test with."""

from __future__ import annotations

from typing import Any

from plan.model import Plan
from tests.plans import plan_of
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
    fabric = build_fabric(FabricSpec(**(spec | changes)))
    return plan_of(fabric, lanes=lanes, byte_scale=byte_scale, dilation=dilation)
