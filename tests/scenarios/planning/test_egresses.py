"""Claims: what the plan says of egresses is all that transmits in its fabric, each once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.fabric import Fabric
from scenarios.planning.egresses import all_egresses
from tests.controller.fabrics import make_fabric, make_plan

fabrics = st.builds(
    make_fabric,
    prefill=st.integers(1, 4),
    decode=st.integers(1, 4),
    gpus_per_node=st.integers(1, 3),
    k=st.sampled_from([None, 6, 8]),
    converged=st.booleans(),
    snic_bps=st.sampled_from([50e9, 400e9]),
)


@given(fabrics)
def test_every_nic_transmits_at_its_node_and_at_its_leaf(fabric: Fabric) -> None:
    by_name = {egress.name: egress for egress in all_egresses(fabric)}
    for nic in fabric.nics:
        out, into = by_name[f"{nic.name} out"], by_name[f"{nic.name} in"]
        assert (out.host, out.device, out.port) == (nic.node, nic.host_device, None)
        assert (into.host, into.device, into.port) == (
            None,
            nic.switch_device,
            (nic.switch, nic.port),
        )
        assert {out.rate_bps, into.rate_bps} == {nic.rate_bps}


@given(fabrics)
def test_every_link_transmits_at_both_ends(fabric: Fabric) -> None:
    by_name = {egress.name: egress for egress in all_egresses(fabric)}
    for link in fabric.links:
        there, back = (by_name[name] for name in link.directions)
        assert (there.device, there.port) == (link.a_device, (link.a, link.a_port))
        assert (back.device, back.port) == (link.b_device, (link.b, link.b_port))
        assert {there.rate_bps, back.rate_bps} == {link.rate_bps}


@given(fabrics)
def test_nothing_else_transmits_and_no_name_or_device_is_taken_twice(fabric: Fabric) -> None:
    egresses = all_egresses(fabric)
    assert len(egresses) == 2 * (len(fabric.nics) + len(fabric.links))
    for taken in (
        Counter(egress.name for egress in egresses),
        Counter((egress.host, egress.device) for egress in egresses),
        Counter(egress.port for egress in egresses if egress.port),
    ):
        assert set(taken.values()) == {1}


@given(fabrics, st.sampled_from([500.0, 4000.0, 400_000.0]), st.booleans())
def test_a_queue_is_guaranteed_a_frame_a_second_at_least_and_the_egresss_rate_at_most(
    fabric: Fabric, byte_scale: float, lanes: bool
) -> None:
    plan = make_plan(fabric, lanes=lanes, byte_scale=byte_scale)
    for egress in plan.egresses:
        classes = plan.queue_classes(egress)
        assert [item.vl for item in classes] == [lane.vl for lane in plan.lanes.lanes]
        for item in classes:
            assert min(8 * fabric.mtu, item.ceil_bps) <= item.rate_bps <= item.ceil_bps
            assert item.ceil_bps == pytest.approx(
                plan.scale.wire_bps(egress.rate_bps) * fabric.framing, rel=1e-5
            )
