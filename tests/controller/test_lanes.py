"""Claims about the compiled VL arbitration (paper section 3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.lanes import Arbitration, lane_table
from plan.lanes import LaneTable

weights = st.integers(0, 255)
tables = st.lists(st.tuples(st.integers(0, 3), weights), min_size=1, max_size=8)
# one entry for each VL, so that every lane is served
served = st.tuples(*(st.tuples(st.just(vl), st.integers(1, 255)) for vl in range(4)))


def share(table: LaneTable) -> dict[str, float]:
    return {lane.name: lane.min_share for lane in table.lanes}


def test_the_papers_tables_reserve_about_99_percent_for_the_high_lanes() -> None:
    shares = share(lane_table())
    assert 1 - shares["kv"] == pytest.approx(240 / 241)
    assert shares["collective"] == pytest.approx(0.98 * 240 / 241)
    assert shares["control"] == shares["spare"] == pytest.approx(0.01 * 240 / 241)


def test_kv_is_the_only_low_lane_of_the_papers_tables() -> None:
    assert {lane.name for lane in lane_table().lanes if lane.priority} == {"kv"}


def test_kv_and_storage_traffic_share_the_low_lane() -> None:
    table = lane_table()
    assert table.vl["kv"] == table.vl["storage"] == 2
    assert table.vl["collective"] == 0


def test_every_class_has_a_dscp_of_its_own_and_none_is_unmarked_traffics() -> None:
    dscp = lane_table().dscp
    assert len({*dscp.values(), 0}) == len(dscp) + 1
    assert all(0 <= value < 64 for value in dscp.values())


def test_lanes_off_is_one_queue_for_every_class_with_unchanged_dscps() -> None:
    off = lane_table(None)
    assert share(off) == {"shared": 1.0}
    assert set(off.vl.values()) == {0}
    assert off.dscp == lane_table().dscp


@given(high=tables, low=served, limit=st.integers(0, 254))
def test_shares_sum_to_one_and_none_is_zero(
    high: list[tuple[int, int]], low: tuple[tuple[int, int], ...], limit: int
) -> None:
    shares = share(lane_table(Arbitration(high_limit=limit, vlarb_high=tuple(high), vlarb_low=low)))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) > 0


@given(limit=st.integers(1, 253))
def test_a_larger_high_limit_leaves_the_low_lane_less(limit: int) -> None:
    less = share(lane_table(Arbitration(high_limit=limit + 1)))["kv"]
    assert less < share(lane_table(Arbitration(high_limit=limit)))["kv"]


@given(entries=st.lists(st.integers(1, 255), min_size=2, max_size=2))
def test_low_lanes_divide_their_part_by_weight(entries: list[int]) -> None:
    table = tuple(zip((2, 3), entries, strict=True))
    shares = share(lane_table(Arbitration(vlarb_high=((0, 1), (1, 1)), vlarb_low=table)))
    ratio = shares["kv"] / shares["spare"]
    assert ratio == pytest.approx(entries[0] / entries[1])


@given(entries=st.lists(st.integers(1, 255), min_size=2, max_size=2))
def test_high_lanes_without_the_collective_one_divide_their_part_by_weight(
    entries: list[int],
) -> None:
    table = tuple(zip((1, 3), entries, strict=True))
    shares = share(lane_table(Arbitration(vlarb_high=table, vlarb_low=((0, 1), (2, 1)))))
    ratio = shares["control"] / shares["spare"]
    assert ratio == pytest.approx(entries[0] / entries[1])


def test_several_entries_of_one_lane_add_up() -> None:
    split = Arbitration(vlarb_high=((0, 96), (1, 192), (0, 96), (3, 192)))
    assert lane_table(split) == lane_table()


@given(high=tables, low=tables)
def test_a_lane_is_unserved_if_no_table_has_a_weight_for_it(
    high: list[tuple[int, int]], low: list[tuple[int, int]]
) -> None:
    served = {vl for vl, weight in (*high, *low) if weight}
    unserved = Arbitration(vlarb_high=tuple(high), vlarb_low=tuple(low)).unserved
    assert {*unserved} | served == {0, 1, 2, 3}
    assert served.isdisjoint(unserved)
