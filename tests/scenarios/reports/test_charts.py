"""A chart's picture shows its curves, levels and scales."""

from __future__ import annotations

import numpy as np
import pytest

from scenarios.reports.charts import Chart, Curve, Panel, draw, shares, stairs

X = np.array([0.0, 1.0, 2.0])
CURVE = Curve("one", "#000000", X, np.array([1.0, np.nan, 3.0]))


def test_steps_hold_to_the_last_limit() -> None:
    edges, values = stairs(X, np.array([5.0, 6.0]))
    assert (edges.tolist(), values.tolist()) == ([0, 1, 2], [5, 6, 6])


def test_shares_reach_one_at_the_largest_value() -> None:
    values, share = shares([3.0, 1.0, 2.0, 2.0])
    assert (values.tolist(), share.tolist()) == ([1, 2, 2, 3], [0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(("gaps", "points"), [(False, 2), (True, 3)])
def test_a_curve_is_broken_only_where_gaps_mean_something(gaps: bool, points: int) -> None:
    [axes] = draw(Chart([Panel("x", [CURVE], gaps=gaps)])).axes
    [line] = axes.lines
    assert len(np.asarray(line.get_xdata())) == points


def test_every_part_of_a_panel_is_drawn() -> None:
    panel = Panel(
        "GB", [CURVE], title="name", note="mean 2", levels=[(2.0, "paper")], marks=[1.0], top=4.0
    )
    [axes] = draw(Chart([panel], end=5.0)).axes
    assert [text.get_text() for text in axes.texts] == ["paper", "mean 2"]
    assert (axes.get_title(), axes.get_ylabel(), axes.get_xlabel()) == (
        "name",
        "GB",
        "model seconds",
    )
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 5), (0, 4))
    assert len(axes.lines) == 3


def test_areas_lie_on_each_other() -> None:
    upper = Curve("two", "#ffffff", X, np.array([1.0, 1.0, 1.0]))
    flat = Curve("one", "#000000", X, np.array([2.0, 2.0, 2.0]))
    [axes] = draw(Chart([Panel("x", [flat, upper], stacked=True)])).axes
    paths = [path for area in axes.collections for path in area.get_paths()]
    assert max(np.asarray(path.vertices)[:, 1].max() for path in paths) == 3


def test_scales_may_be_logarithmic() -> None:
    [axes] = draw(Chart([Panel("x", [CURVE])], log_x=True, log_y=True)).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "symlog")
