"""Claims: speed-ups, cuts and what the text says follow from the points, once all are there."""

from __future__ import annotations

import pytest

from scenarios.reproduction.comparison import Measured, reproduction
from scenarios.reproduction.paper import Case, paper
from scenarios.reproduction.wanted import points
from scenarios.workload.generator import DATASET


def test_a_cut_is_told_when_all_of_its_runs_are_there() -> None:
    wanted = [p for p in points(("12",)) if p.quantity == "jct_s"]
    runs = {
        p.case: Measured(jct_s=p.value or 0.0, ttft_mean_s=1.0, requests=1, cpu_s=0.0)
        for p in wanted
        if p.case
    }
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


def test_what_the_paper_only_draws_has_ours_and_no_error() -> None:
    wanted = points(("9",))
    times = {"basic": 200.0, "dualpath": 100.0}
    runs = {
        p.case: Measured(jct_s=times[p.case.system], ttft_mean_s=1.0, requests=1, cpu_s=0.0)
        for p in wanted
        if p.case
    }
    found = reproduction(wanted, runs, set())
    assert found.missing == 0
    assert {p.ours for p in found.points if p.quantity == "jct_over_gen_s"} == {100.0, 200.0}
    drawn = [p for p in found.points if p.quantity.startswith("jct")]
    assert all(p.paper is None and p.error is None for p in drawn)
    said = {p.quantity: p.error for p in found.points if p.error is not None}
    assert said == pytest.approx(
        {"smallest_speed_up": 2 / 1.82 - 1, "largest_speed_up": 2 / 1.99 - 1}
    )
    assert {line.quantity for line in found.summary} == set(said)


def test_ratios_of_nodes_are_compared_as_the_text_does() -> None:
    jct_s = {("basic", 1): 300.0, ("basic", 2): 150.0, ("basic", 0.5): 330.0}
    jct_s |= {("dualpath", 1): 150.0, ("dualpath", 2): 100.0, ("dualpath", 0.5): 110.0}
    wanted = points(("8",))
    runs = {
        p.case: Measured(jct_s=jct_s[p.case.system, p.x], ttft_mean_s=1.0, requests=1, cpu_s=0.0)
        for p in wanted
        if p.case
    }
    ours = {p.quantity: p.ours for p in reproduction(wanted, runs, set()).points if not p.x}
    assert ours == pytest.approx(
        {
            "mean_speed_up": (2 + 1.5 + 3) / 3,
            "largest_speed_up": 3.0,
            "basic_1p2d_over_1p1d": 1.1,
            "dualpath_1p1d_over_basic_2p1d": 1.0,
            "dualpath_2p1d_over_1p2d": 100 / 110,
        }
    )


def test_a_capacity_is_the_last_rate_up_to_which_the_slo_is_kept() -> None:
    """As in the paper, and whatever is measured beyond a rate at which it was missed."""
    known = paper().online.capacity
    wanted = points(("10",))
    runs = {}
    for point in wanted:
        case = point.case
        assert case is not None
        kept = case.aps <= known.aps[case.model].get(case.system, 1.0) or case.aps == 0.75
        runs[case] = Measured(
            jct_s=1.0, ttft_mean_s=1.0, tpot_mean_s=0.049 if kept else 0.051, requests=1, cpu_s=0.0
        )
    found = reproduction(wanted, runs, set()).points
    ours = {(p.model, p.system): p for p in found if p.quantity == "capacity_aps"}
    assert {key: p.ours for key, p in ours.items()} == {
        (model, system): aps
        for model, systems in known.aps.items()
        for system, aps in systems.items()
    }
    assert all(p.error == 0 for p in ours.values())
    gains = {p.model: p.ours for p in found if p.quantity == "capacity_gain"}
    assert gains == pytest.approx(known.gain, rel=0.01)
    del runs[Case("ds-660b", "48K", DATASET, "basic", 0.25)]
    part = reproduction(wanted, runs, set()).points
    told = {(p.model, p.system) for p in part if p.quantity == "capacity_aps"}
    assert told == set(ours) - {("ds-660b", "basic")}
