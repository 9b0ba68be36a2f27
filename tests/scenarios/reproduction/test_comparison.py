"""Claims: errors, speed-ups, cuts and their summary follow from the points."""

from __future__ import annotations

import math

import pytest

from scenarios.reproduction.comparison import (
    Measured,
    OverTime,
    batch_throughput,
    reproduction,
)
from scenarios.reproduction.paper import Case, PaperPoint
from scenarios.reproduction.wanted import points

FITTED = {Case("ds-660b", "32K", 512, "oracle")}


def run_of(point: PaperPoint, factor: float) -> Measured:
    return Measured(
        jct_s=factor * (point.value or math.nan), ttft_mean_s=1.0, requests=1, cpu_s=0.0
    )


def test_what_is_slower_by_a_tenth_has_that_error_and_the_papers_speed_ups() -> None:
    wanted = points(("7",))
    found = reproduction(wanted, {p.case: run_of(p, 1.1) for p in wanted if p.case}, FITTED)
    jcts = [p for p in found.points if p.quantity == "jct_s"]
    assert [p.error for p in jcts] == pytest.approx([0.1] * len(wanted))
    speed_ups = [p for p in found.points if p.quantity == "speed_up"]
    assert len(speed_ups) == len(wanted) / 3
    assert [p.error for p in speed_ups] == pytest.approx([0.0] * len(speed_ups))
    for line in found.summary:
        expected = 1.1 if line.quantity == "jct_s" else 1.0
        assert line.ratio == pytest.approx(expected)
    assert found.missing == 0


def test_only_fitted_points_are_no_predictions() -> None:
    wanted = points(("7",))
    found = reproduction(wanted, {p.case: run_of(p, 1.0) for p in wanted if p.case}, FITTED)
    used = [p for p in found.points if p.used_for_calibration]
    assert [(p.model, p.row, p.x, p.system) for p in used] == [("ds-660b", "32K", 512, "oracle")]


def test_a_batch_of_one_is_what_throughput_is_relative_to_and_more_is_never_less() -> None:
    found = [batch_throughput(n) for n in (1, 5, 10, 20)]
    assert found[0] == 1.0
    assert found == sorted(found)


def test_an_online_point_is_what_its_quantity_measured_and_none_without_it() -> None:
    case = Case("ds-27b", "48K", 500, "oracle", 0.25)
    wanted = [p for p in points(("10", "11")) if p.case == case]
    run = Measured(
        jct_s=2400.0,
        ttft_mean_s=0.4,
        tpot_mean_s=0.012,
        agent_jct_mean_s=300.0,
        requests=1,
        cpu_s=0.0,
    )
    found = reproduction(wanted, {case: run}, {Case("ds-27b", "48K", 500, "oracle")})
    ours = {p.quantity: p.ours for p in found.points}
    assert ours == {"ttft_s": 0.4, "tpot_s": 0.012, "agent_jct_s": 300.0}
    assert not any(p.used_for_calibration for p in found.points)


def test_balance_parts_and_curves_are_read_where_a_run_has_them() -> None:
    wanted = points(("12", "13", "14", "15"))
    curves = OverTime(
        every_s=100.0,
        prompt_tokens_per_s=[1e7, 2e7],
        ttft_mean_s=[13.0, 23.0],
        running_agents=[2048, 1024],
    )
    run = Measured(
        jct_s=200.0,
        ttft_mean_s=1.0,
        ttft_parts_s={"scheduling": 0.2, "allocating": 0.1, "reading": 0.3, "prefill": 0.4},
        snic_max_over_avg=1.2,
        attention_max_over_avg_first=1.1,
        over_time=curves,
        requests=1,
        cpu_s=0.0,
    )
    points_of = reproduction(wanted, {p.case: run for p in wanted if p.case}, set()).points
    ours = {(p.quantity, p.x): p.ours for p in points_of}
    assert ours["scheduling_percent", 0.1] == pytest.approx(20.0)
    assert ours["snic_max_over_avg", 1024] == 1.2
    assert ours["attention_max_over_avg", 1024] == 1.1
    assert [ours["running_agents", x] for x in (0, 100, 200)] == [2048, 1024, 0]
