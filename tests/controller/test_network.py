"""Claims about a real fabric under the controller, built once."""

from __future__ import annotations

import pytest

from controller.lanes import DSCP, SL_TO_VL, lane_table
from plan.lanes import TrafficClass
from tests.controller.fabric_run import Report, run

pytestmark = pytest.mark.network

EGRESSES = 5
"""Switch ports on the way between two pods: edge, aggregation, core and down again."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(tmp_path_factory.mktemp("fabric"))


def test_all_ends_of_a_plane_reach_each_other(report: Report) -> None:
    # 16 CNIC ends of 4 nodes, 5 SNICs, 7 management ends; not within one host
    assert report.pairs == 294
    assert report.cut == []


@pytest.mark.parametrize("traffic_class", DSCP)
def test_a_class_crosses_every_egress_in_its_lane_and_loses_nothing(
    report: Report, traffic_class: TrafficClass
) -> None:
    moved = report.lanes[traffic_class]
    lane = lane_table().lanes[SL_TO_VL[traffic_class]].name
    assert moved.pop(lane) == pytest.approx(EGRESSES * report.sent_bytes, rel=0.02)
    # the last segments of earlier connections are unmarked
    assert max(moved.values()) < 0.02 * EGRESSES * report.sent_bytes
    assert set(report.drops.values()) == {0}


def test_a_local_copy_crosses_its_cnic_once_each_way_and_nothing_else(report: Report) -> None:
    assert report.reflected_nic == pytest.approx((report.sent_bytes,) * 2, rel=0.02)
    assert report.reflected_elsewhere < 0.05 * report.sent_bytes


def test_a_failed_link_is_routed_around_and_used_no_more(report: Report) -> None:
    assert report.reroute["unreachable"] == []
    assert report.cut_after_failure == []
    assert report.failed_link_bytes == 0
    assert report.reroute_s < 5


def test_after_repair_all_reach_again(report: Report) -> None:
    assert report.cut_after_repair == []


def test_a_port_that_loses_its_queues_is_found(report: Report) -> None:
    assert "should have Qos" in report.stray_queue_error
    assert "not None" in report.stray_queue_error
