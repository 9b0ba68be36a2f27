"""Claims: a search for a capacity comes as near as asked, whatever the capacity is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.analysis.capacity import (
    UNDECIDED,
    WIDEST,
    Point,
    bracket,
    conclude,
    of_grid,
    of_search,
    rounded,
)
from tests.examples import tries

START = 0.45


def tried(rates: list[float], capacity: float) -> list[Point]:
    return [Point(aps=rate, slo_met=rate <= capacity) for rate in rates]


def searched(capacity: float, precision: float, count: int) -> list[Point]:
    points: list[Point] = []
    for _ in range(60):
        rates = of_search(START, precision, points, count)
        if not rates:
            return points
        points += tried(rates, capacity)
    raise AssertionError(points)


@tries(100)
@given(
    st.floats(2 * START / WIDEST, START * WIDEST / 2),
    st.sampled_from([0.2, 0.05, 0.01]),
    st.integers(1, 4),
)
def test_a_search_ends_with_the_capacity_between_two_rates_as_near_as_asked(
    capacity: float, precision: float, count: int
) -> None:
    points = searched(capacity, precision, count)
    kept, missed = bracket(points)
    assert kept is not None
    assert missed is not None
    assert kept <= capacity < missed
    assert missed - kept <= precision * missed
    rates = [point.aps for point in points]
    assert len(set(rates)) == len(rates)


@tries(100)
@given(
    st.floats(2 * START / WIDEST, START * WIDEST / 4),
    st.floats(1.0, 2.0),
    st.integers(1, 4),
)
def test_what_is_undecided_is_never_a_capacity(capacity: float, width: float, count: int) -> None:
    """Between a capacity and what is missed for certain."""

    def point(rate: float) -> Point:
        if capacity < rate <= width * capacity:
            return undecided(rate)
        return Point(aps=rate, slo_met=rate <= capacity)

    points: list[Point] = []
    while rates := of_search(START, 0.05, points, count):
        points += map(point, rates)
        assert len(points) < 100
    found = conclude({"basic": points}).systems["basic"]
    assert found.capacity_aps is not None
    assert found.capacity_aps <= capacity
    beyond = [rate for rate in (found.undecided_aps, found.missed_aps) if rate is not None]
    assert min(beyond) - found.capacity_aps <= 0.05 * min(beyond)


def undecided(rate: float) -> Point:
    return Point(aps=rate, verdict=UNDECIDED)


def test_a_grid_goes_on_beyond_what_is_undecided_and_says_both() -> None:
    points = [*tried([0.1], 1.0), undecided(0.2)]
    assert of_grid([0.1, 0.2, 0.3], points, 2) == [0.3]
    found = conclude({"basic": [*points, *tried([0.3], 0.0)]}).systems["basic"]
    assert (found.capacity_aps, found.undecided_aps, found.missed_aps) == (0.1, 0.2, 0.3)
    later = conclude({"basic": [*points, *tried([0.3], 1.0)]}).systems["basic"]
    assert (later.capacity_aps, later.missed_aps) == (0.1, None)


def test_a_search_costs_few_runs() -> None:
    assert len(searched(0.31, 0.05, 1)) <= 7


@pytest.mark.parametrize("capacity", [0.0, 1e9])
def test_a_system_that_keeps_all_or_none_ends_the_search(capacity: float) -> None:
    kept, missed = bracket(searched(capacity, 0.05, 1))
    assert (kept is None) != (missed is None)


def test_a_point_without_figures_ends_the_search_of_its_system() -> None:
    points = [Point(aps=0.1, slo_met=True), Point(aps=0.2, error="killed")]
    assert of_search(START, 0.05, points, 2) == []
    assert conclude({"basic": points}).systems["basic"].capacity_aps == 0.1


def test_a_grid_is_tried_upwards_and_not_beyond_a_miss() -> None:
    rates = [0.3, 0.1, 0.2, 0.4]
    assert of_grid(rates, [], 2) == [0.1, 0.2]
    assert of_grid(rates, tried([0.1, 0.2], 9.0), 2) == [0.3, 0.4]
    assert of_grid(rates, tried([0.1, 0.2], 0.15), 2) == []


def test_a_rate_that_keeps_the_slo_by_chance_beyond_one_that_does_not_is_no_capacity() -> None:
    points = [
        Point(aps=0.1, slo_met=True),
        Point(aps=0.2, slo_met=False),
        Point(aps=0.3, slo_met=True),
    ]
    assert bracket(points) == (0.1, 0.2)


def test_gains_are_over_the_capacity_of_basic() -> None:
    found = conclude({"basic": tried([0.2, 0.4], 0.3), "dualpath": tried([0.2, 0.4, 0.5], 0.45)})
    assert found.gain_over_basic == {"basic": 1.0, "dualpath": 2.0}
    assert found.systems["dualpath"].missed_aps == 0.5
    assert conclude({"dualpath": tried([0.2], 0.3)}).gain_over_basic == {}


def test_a_rate_s_text_gives_the_same_rate() -> None:
    assert float(f"{rounded(1 / 3):g}") == rounded(1 / 3)
