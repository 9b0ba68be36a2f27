"""Claims: the paper's points are there, each with the run that it needs."""

from __future__ import annotations

import pytest

from scenarios.configuration.systems import SYSTEMS
from scenarios.reproduction.paper import Case, paper, points


def test_every_bar_of_figure_7_is_a_point() -> None:
    found = points(("7",))
    assert len(found) == 3 * (2 * 3 * 4 + 3 * 3)
    values = {point.case: point.value for point in found}
    assert values[Case("ds-660b", "48K", 2048, "dualpath")] == 3160


def test_every_marker_of_the_online_figures_is_a_point() -> None:
    values = {(p.quantity, p.case): p.value for p in points(("10", "11"))}
    assert values["ttft_s", Case("ds-660b", "48K", 500, "dualpath", 0.45)] == 2.84
    assert values["agent_jct_s", Case("ds-27b", "48K", 500, "oracle", 0.6)] == 292
    assert {p.quantity for p in points(("11",))} == {"agent_jct_s"}


def test_every_case_names_a_system_and_no_case_is_there_twice_in_a_figure() -> None:
    for figure in ("7", "12"):
        cases = [point.case for point in points((figure,))]
        assert len(set(cases)) == len(cases)
        assert {case.system for case in cases if case} <= set(SYSTEMS)


def test_the_ablations_cuts_are_those_that_the_text_prints() -> None:
    """Within what reading two bars costs."""
    known = paper().ablation
    for column, name in enumerate(("layerwise", "dualpath-rr", "dualpath"), 1):
        cuts = [100 * (1 - bars[column] / bars[0]) for bars in known.values.values()]
        assert sum(cuts) / len(cuts) == pytest.approx(known.mean_cut_percent[name], abs=1.0)


def test_figure_15s_integral_is_the_prompt_tokens_of_an_agent() -> None:
    scale = paper().scale
    tokens = 100 * 1e7 * sum(scale.prompt_tps_1e7) / scale.agents
    assert tokens == pytest.approx(scale.prompt_tokens_an_agent, rel=0.03)
