"""Claims about the OpenFlow tables, checked by running frames through them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.flows import (
    CLASSIFY,
    ETH_TYPE_IPV4,
    Action,
    Flow,
    Output,
    Pipeline,
    Reflect,
    SetQueue,
    difference,
    pipelines,
)
from controller.lanes import ACKNOWLEDGEMENT_BYTES, lane_table
from plan.lanes import LaneTable, TrafficClass
from plan.routing import routes
from tests.controller.fabrics import make_fabric

FABRIC = make_fabric()
LANES = lane_table()
PIPELINES = pipelines(FABRIC, LANES, routes(FABRIC))


def actions(pipeline: Pipeline, frame: dict[str, int | str]) -> list[Action]:
    """The action set of a frame, as a switch would gather it."""
    gathered: list[Action] = []
    table: int | None = CLASSIFY
    while table is not None:
        hits = [
            flow
            for flow in pipeline
            if flow.table == table and dict(flow.match).items() <= frame.items()
        ]
        if not hits:
            return gathered
        best = max(hits, key=lambda flow: flow.priority)
        assert [flow.priority for flow in hits].count(best.priority) == 1
        gathered += best.actions
        table = best.goto
    return gathered


def frame(dst: str, *, dscp: int = 0, in_port: int = 99) -> dict[str, int | str]:
    mac = FABRIC.ends()[dst].mac
    return {"eth_type": ETH_TYPE_IPV4, "ip_dscp": dscp, "eth_dst": mac, "in_port": in_port}


@pytest.mark.parametrize("traffic_class", LANES.dscp)
def test_each_class_leaves_by_its_lanes_queue(traffic_class: TrafficClass) -> None:
    for switch, pipeline in PIPELINES.items():
        if switch.startswith("c"):
            marked = frame("pe0.hbm0", dscp=LANES.dscp[traffic_class])
            assert SetQueue(LANES.vl[traffic_class]) in actions(pipeline, marked)


def test_unmarked_traffic_takes_the_spare_lane() -> None:
    assert SetQueue(3) in actions(PIPELINES["ce0"], frame("pe0.hbm0"))
    arp = frame("pe0.hbm0") | {"eth_type": 0x0806}
    assert SetQueue(3) in actions(PIPELINES["ce0"], arp)


def filtered(lanes: LaneTable, *, dscp: int, size_bytes: int) -> int:
    """The virtual lane of an IP packet at an egress that has filters."""
    word = 4 << 28 | 5 << 24 | dscp << 18 | size_bytes
    rules = sorted(lanes.filters, key=lambda rule: rule.order)
    return next(rule.vl for rule in rules if word & rule.mask == rule.value)


@given(st.integers(0, 63), st.integers(ACKNOWLEDGEMENT_BYTES, 9000), st.booleans())
def test_filters_and_flows_choose_one_lane_for_a_packet_with_payload(
    dscp: int, size_bytes: int, direct: bool
) -> None:
    lanes = lane_table(direct_copies=direct)
    pipeline = pipelines(FABRIC, lanes, routes(FABRIC))["ce0"]
    chosen = actions(pipeline, frame("pe0.hbm0", dscp=dscp))
    assert SetQueue(filtered(lanes, dscp=dscp, size_bytes=size_bytes)) in chosen


@given(st.integers(0, 63), st.integers(20, ACKNOWLEDGEMENT_BYTES - 1))
def test_acknowledgements_take_the_control_lane(dscp: int, size_bytes: int) -> None:
    assert filtered(LANES, dscp=dscp, size_bytes=size_bytes) == LANES.vl["control"]


def test_with_lanes_off_no_flow_sets_a_queue() -> None:
    off = pipelines(FABRIC, lane_table(None), routes(FABRIC))
    assert not any(
        isinstance(action, SetQueue)
        for pipeline in off.values()
        for flow in pipeline
        for action in flow.actions
    )
    assert actions(off["ce0"], frame("pe0.hbm0", dscp=46)) == [Output(1)]


def test_both_ends_of_a_cnic_are_at_its_port() -> None:
    for end in ("pe0.dram0", "pe0.hbm0"):
        assert Output(1) in actions(PIPELINES["ce0"], frame(end, in_port=2))


def test_the_two_ends_of_a_cnic_talk_by_reflection() -> None:
    for end in ("pe0.dram0", "pe0.hbm0"):
        chosen = actions(PIPELINES["ce0"], frame(end, in_port=1))
        assert Reflect() in chosen
        assert Output(1) not in chosen


def test_unknown_and_broadcast_destinations_are_dropped() -> None:
    broadcast = frame("pe0.hbm0") | {"eth_dst": "ff:ff:ff:ff:ff:ff"}
    for pipeline in PIPELINES.values():
        assert {type(action) for action in actions(pipeline, broadcast)} == {SetQueue}


def test_a_switch_holds_one_flow_for_each_end_and_dscp_not_their_product() -> None:
    ends = sum(len(nic.ends) for nic in FABRIC.nics if nic.plane == "compute")
    assert len(PIPELINES["cc0"]) == ends + len(LANES.dscp) + 1


def test_applying_a_difference_in_order_gives_the_wanted_pipeline() -> None:
    link = FABRIC.links[0]
    down = frozenset({(link.a, link.a_port)})
    wanted = pipelines(FABRIC, LANES, routes(FABRIC, down))
    before = pipelines(FABRIC, LANES, routes(FABRIC))
    assert any(difference(before[name], wanted[name]) for name in wanted)
    for name in wanted:
        change = difference(before[name], wanted[name])
        table: dict[object, Flow] = {flow.key: flow for flow in before[name]}
        table |= {flow.key: flow for flow in change.add}
        for flow in change.delete:
            del table[flow.key]
        assert frozenset(table.values()) == wanted[name]


def test_nothing_changed_is_no_change() -> None:
    assert not difference(PIPELINES["ce0"], PIPELINES["ce0"])
