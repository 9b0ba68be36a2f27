"""Claims: errors, speed-ups, cuts and their summary follow from the points."""

from __future__ import annotations

import pytest

from scenarios.reproduction.comparison import Measured, batch_throughput, reproduction
from scenarios.reproduction.paper import Case, PaperPoint, paper, points

FITTED = {Case("ds-660b", "32K", 512, "oracle")}


def run_of(point: PaperPoint, factor: float) -> Measured:
    return Measured(jct_s=factor * point.value, ttft_mean_s=1.0, requests=1, cpu_s=0.0)


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


def test_a_cut_is_told_when_all_of_its_runs_are_there() -> None:
    wanted = points(("12",))
    runs = {p.case: run_of(p, 1.0) for p in wanted if p.case}
    printed = paper().ablation.mean_cut_percent
    whole = reproduction(wanted, runs, set())
    cuts = {p.system: p for p in whole.points if p.quantity == "mean_cut_percent"}
    assert set(cuts) == set(printed)
    assert all(cut.ours == pytest.approx(cut.paper, abs=1.0) for cut in cuts.values())
    del runs[Case("ds-660b", "64K", 2048, "layerwise")]
    part = reproduction(wanted, runs, set())
    assert part.missing == 1
    assert {p.system for p in part.points if p.quantity == "mean_cut_percent"} == {
        "dualpath-rr",
        "dualpath",
    }


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
