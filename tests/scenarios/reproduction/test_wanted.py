"""Claims: the paper's points are there, each with the run that it needs."""

from __future__ import annotations

from scenarios.configuration.systems import SYSTEMS
from scenarios.reproduction.paper import FIGURES, Case
from scenarios.reproduction.wanted import points


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


def test_every_case_names_a_system_and_gives_a_figure_each_value_once() -> None:
    for figure in FIGURES:
        found = points((figure,))
        assert len({(p.case, p.x, p.quantity) for p in found}) == len(found) > 0
        assert {p.case.system for p in found if p.case} <= set(SYSTEMS)
