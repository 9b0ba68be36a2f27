"""Claims about the OpenFlow tables, checked by running frames through them."""

from __future__ import annotations

import pytest

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
from controller.lanes import lane_table
from plan.lanes import TrafficClass
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


def test_with_lanes_off_no_flow_sets_a_queue() -> None:
    off = pipelines(FABRIC, lane_table(enabled=False), routes(FABRIC))
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
