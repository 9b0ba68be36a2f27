"""Claims: the paper's numbers agree with each other."""

from __future__ import annotations

import pytest

from scenarios.reproduction.paper import paper


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


def test_table_3_s_large_runs_are_so_many_of_the_small_ones() -> None:
    table = paper().table_3
    for units, (prefill, decode) in table.units.items():
        assert (prefill, decode) == (2 * units, 4 * units)
    assert table.agents[24] == 24 * table.agents[1]
    assert table.aps[22] == pytest.approx(22 * table.aps[1])
