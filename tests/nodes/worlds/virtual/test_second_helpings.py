"""Claims: what lanes that meet on one link get of it is what HTB gives them."""

from __future__ import annotations

import pytest

from tests.nodes.worlds.virtual.reference_sharing import Case

GREEDY = 1e6


def one_link(lanes: list[tuple[float, int]], *flows: tuple[int, float]) -> list[float]:
    """Rates of flows (vl, own limit) that meet on one link of 100."""
    case = Case([100.0, *(limit for _, limit in flows)], lanes)
    for private, (vl, _) in enumerate(flows, 1):
        case.start(vl, (private, 0))
    return [case.solve()[key] for key in range(len(flows))]


PAPER = [(0.99, 0), (0.01, 1)]


def test_the_kv_lane_keeps_its_guarantee_under_a_full_collective_lane() -> None:
    assert one_link(PAPER, (0, GREEDY), (1, GREEDY)) == pytest.approx([99.0, 1.0])


def test_the_kv_lane_gets_all_that_collectives_leave() -> None:
    assert one_link(PAPER, (0, 30.0), (1, GREEDY), (1, GREEDY)) == pytest.approx([30, 35, 35])


def test_collectives_get_what_the_kv_lane_cannot_use_of_its_guarantee() -> None:
    assert one_link(PAPER, (0, GREEDY), (1, 0.25)) == pytest.approx([99.75, 0.25])


def test_equal_lanes_split_leftovers_in_proportion_to_their_guarantees() -> None:
    lanes = [(0.5, 0), (0.25, 0), (0.25, 0), (0.0, 1)]
    others = [(2, GREEDY), (3, GREEDY)]
    assert one_link(lanes, (0, 8.0), (1, GREEDY), *others) == pytest.approx([8, 46, 46, 0])
    assert one_link(lanes, (0, GREEDY), (1, 10.0), *others) == pytest.approx([60, 10, 30, 0])


def test_a_guarantee_holds_for_the_lane_and_not_for_each_of_its_flows() -> None:
    many = one_link([(0.75, 0), (0.25, 0)], (0, GREEDY), *[(1, GREEDY)] * 10)
    assert many == pytest.approx([75.0] + [2.5] * 10)


def test_idle_bandwidth_goes_to_the_smaller_priority_number() -> None:
    rates = one_link([(0.2, 2), (0.2, 0), (0.6, 1)], (0, GREEDY), (1, 10.0), (2, GREEDY))
    assert rates == pytest.approx([20.0, 10.0, 70.0])
