"""Plans to test with: small fat-trees, written out by the topology's own builder."""

from __future__ import annotations

from typing import Any

from plan.fabric import Fabric
from plan.model import Plan
from tests.plans import plan_of
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
    return plan_of(fabric, lanes=lanes, byte_scale=byte_scale, dilation=2.0)
