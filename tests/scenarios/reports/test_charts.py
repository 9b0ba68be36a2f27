"""A chart's picture shows its curves, levels and scales."""

from __future__ import annotations

import re

import numpy as np
import pytest

from scenarios.reports.charts import Chart, Curve, Panel, points, shares, stairs
from tests.scenarios.reports.drawn import marks, words

X = np.array([0.0, 1.0, 2.0])
CURVE = Curve("one", "#000000", X, np.array([1.0, np.nan, 3.0]))


def test_steps_hold_to_the_last_limit() -> None:
    edges, values = stairs(X, np.array([5.0, 6.0]))
    assert (edges.tolist(), values.tolist()) == ([0, 1, 2], [5, 6, 6])


def test_shares_reach_one_at_the_largest_value() -> None:
    values, share = shares([3.0, 1.0, 2.0, 2.0])
    assert (values.tolist(), share.tolist()) == ([1, 2, 2, 3], [0.25, 0.5, 0.75, 1])


def ways(chart: Chart) -> list[str]:
    return [path["d"] for path in marks(chart.drawn(), "path")]


@pytest.mark.parametrize(("gaps", "pieces"), [(False, 1), (True, 2)])
def test_a_curve_is_broken_only_where_gaps_mean_something(gaps: bool, pieces: int) -> None:
    [way] = ways(Chart([Panel("x", [CURVE], gaps=gaps)]))
    assert way.count("M") == pieces


def test_every_part_of_a_panel_is_drawn() -> None:
    panel = Panel(
        "GB", [CURVE], title="name", note="mean 2", levels=[(2.0, "paper")], marks=[1.0], top=4.0
    )
    drawing = Chart([panel], end=5.0, height=100).drawn()
    assert {"name", "GB", "model seconds", "paper", "mean 2", "4", "5"} <= set(words(drawing))
    level, mark = [line for line in marks(drawing, "line") if "stroke-dasharray" in line]
    base = max(float(line["y1"]) for line in marks(drawing, "line"))
    assert float(level["y1"]) == float(level["y2"]) == base - 50
    edge = float(level["x1"])
    assert float(mark["x1"]) == pytest.approx(edge + (float(level["x2"]) - edge) / 5, abs=0.1)


def test_areas_lie_on_each_other() -> None:
    upper = Curve("two", "#ffffff", X, np.array([1.0, 1.0, 1.0]))
    flat = Curve("one", "#000000", X, np.array([2.0, 2.0, 2.0]))
    drawing = Chart([Panel("x", [flat, upper], stacked=True, top=4.0)], height=100).drawn()
    above, below = marks(drawing, "path")
    assert (above["fill"], below["fill"]) == ("#ffffff", "#000000")
    base = max(float(line["y1"]) for line in marks(drawing, "line"))
    heights = [
        {base - float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", area["d"])}
        for area in (above, below)
    ]
    assert heights == [{75.0, 50.0}, {50.0, 0.0}]


def test_scales_may_be_logarithmic() -> None:
    x = np.array([1.0, 10.0, 100.0])
    chart = Chart(
        [Panel("x", [Curve("one", "#000000", x, 10 * x)], top=1e3)], log_x=True, log_y=True
    )
    [way] = ways(chart)
    (a, _), (b, high), (c, top) = re.findall(r"([\d.]+) ([\d.]+)", way)
    assert float(b) - float(a) == pytest.approx(float(c) - float(b), abs=0.2)
    base = max(float(line["y1"]) for line in marks(chart.drawn(), "line"))
    assert base - float(high) == pytest.approx((base - float(top)) * 0.7, rel=0.02)
    assert {"1", "10", "100"} <= set(words(chart.drawn()))


def test_a_curve_above_the_axis_is_cut_off_at_it() -> None:
    chart = Chart([Panel("x", [Curve("one", "#000000", X, 10 * X)], top=1.0)])
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", ways(chart)[0])]
    assert min(heights) == heights[1] == heights[2]


def test_panels_that_measured_nothing_are_drawn_empty() -> None:
    nothing = Curve("one", "#000000", X, np.full(3, np.nan))
    assert ways(Chart([Panel("x", [nothing]), Panel("y", [])])) == []


def test_of_many_points_the_lowest_and_highest_are_kept() -> None:
    x = np.arange(100_000.0)
    y = np.zeros(len(x))
    y[[777, 51_234]] = 5.0, -3.0
    kept, rows = points(Panel("x", [Curve("one", "#000000", x, y)]))
    assert len(kept) < 1000
    assert (rows.max(), rows.min()) == (5.0, -3.0)
