"""Charts: curves over time or over a quantity, as data; drawn as a PNG here, and on the page.

A chart has panels, a panel curves. All values are in the units that the labels name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scenarios.reports.drawing import FAINT, INK, legend, plain_log
from scenarios.results.windows import Series

TIME = "model seconds"
DASHES = (0, (4, 3))
WIDTH = 9.0
"""Inches."""


@dataclass(frozen=True)
class Curve:
    """A line through (x, y), each of length n; NaN in y is a gap."""

    label: str
    colour: str
    x: Series
    y: Series
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves that share their axes.

    Attributes:
        unit: label of the y axis.
        note: a word on it, its mean for instance.
        stacked: curves, which then share x, lie on each other as areas.
        steps: a value holds from its x to the next.
        filled: the first curve is the edge of an area.
        gaps: where a curve has no value it is broken, not led on to the next.
        levels: (y, words) of lines across.
        marks: x of lines upright.
        top: of the y axis; None: as high as the curves.
        bottom: of the y axis.
    """

    unit: str
    curves: Sequence[Curve]
    title: str = ""
    note: str = ""
    stacked: bool = False
    steps: bool = False
    filled: bool = False
    gaps: bool = False
    levels: Sequence[tuple[float, str]] = ()
    marks: Sequence[float] = ()
    top: float | None = None
    bottom: float = 0.0


@dataclass(frozen=True)
class Chart:
    """Panels in rows, which share the x axis if that is time.

    Attributes:
        columns: panels in a row.
        x_labels: of each column.
        end: of the x axis; None: as far as the curves.
        log_x: x is logarithmic.
        log_y: y is logarithmic above 1, linear below.
        height: of a row, inches.
    """

    panels: Sequence[Panel]
    columns: int = 1
    x_labels: Sequence[str] = (TIME,)
    end: float | None = None
    log_x: bool = False
    log_y: bool = False
    height: float = 1.6

    @property
    def labels(self) -> dict[str, str]:
        """Colour of every curve by its label, dashed ones left out."""
        curves = (curve for panel in self.panels for curve in panel.curves if not curve.dashed)
        return {curve.label: curve.colour for curve in curves if curve.label}


@dataclass(frozen=True)
class Picture:
    """A PNG and the words that go with it; the chart that it is of, if it is of one."""

    path: Path
    title: str
    caption: str
    chart: Chart | None = None


def stairs(edges: Series, values: Series) -> tuple[Series, Series]:
    """X and y, n + 1 each, of steps that n values make between n + 1 limits."""
    return edges, np.append(values, values[-1:])


def shares(values: Sequence[float]) -> tuple[Series, Series]:
    """X and y of the share of values at or below x."""
    return np.sort(values), np.arange(1, len(values) + 1) / len(values)


def draw(chart: Chart) -> Figure:
    """The chart as a picture."""
    rows = -(-len(chart.panels) // chart.columns)
    width = min(max(WIDTH, 2.8 * chart.columns), 14.0)
    figure = Figure(figsize=(width, 0.9 + chart.height * rows), layout="constrained")
    timed = set(chart.x_labels) == {TIME}
    grid = figure.subplots(rows, chart.columns, sharex=timed, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place < len(chart.panels):
            _panel(axes, chart, chart.panels[place])
        else:
            axes.set_visible(False)
    for column, axes in enumerate(grid[-1]):
        axes.set_xlabel(chart.x_labels[column % len(chart.x_labels)])
    if len(chart.labels) > 1:
        if chart.columns > 1:
            _shared_legend(figure)
        else:
            legend(*grid[:, 0])
    return figure


def _panel(axes: Axes, chart: Chart, panel: Panel) -> None:
    style = "steps-post" if panel.steps else "default"
    post: Literal["post"] | None = "post" if panel.steps else None
    if panel.stacked:
        axes.stackplot(
            panel.curves[0].x,
            [np.nan_to_num(curve.y) for curve in panel.curves],
            colors=[curve.colour for curve in panel.curves],
            labels=[curve.label for curve in panel.curves],
            step=post,
            lw=0,
        )
    else:
        for curve in panel.curves:
            there = np.isfinite(curve.y) | panel.gaps
            axes.plot(
                curve.x[there],
                curve.y[there],
                color=curve.colour,
                label=curve.label if not curve.dashed else None,
                drawstyle=style,
                lw=1.2,
                ls=DASHES if curve.dashed else "-",
            )
    if panel.filled:
        first = panel.curves[0]
        axes.fill_between(first.x, first.y, color=first.colour, alpha=0.3, step=post, lw=0)
    for level, words in panel.levels:
        axes.axhline(level, color=INK, lw=0.7, ls=DASHES)
        axes.text(0.995, level, words, transform=axes.get_yaxis_transform(), ha="right")
    for mark in panel.marks:
        axes.axvline(mark, color=FAINT, lw=0.8)
    _scales(axes, chart, panel)
    axes.set_title(panel.title)
    axes.set_ylabel(panel.unit)
    if panel.note:
        _note(axes, panel.note)


def _scales(axes: Axes, chart: Chart, panel: Panel) -> None:
    if chart.log_x:
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    else:
        axes.set_xlim(0, chart.end)
    if chart.log_y:
        axes.set_yscale("symlog", linthresh=1.0)
        plain_log(axes.yaxis, linthresh=1.0)
    axes.set_ylim(panel.bottom, panel.top)


def _note(axes: Axes, words: str) -> None:
    axes.text(
        0.03,
        0.14,
        words,
        transform=axes.transAxes,
        color=INK,
        fontweight="bold",
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 2},
    )


def _shared_legend(figure: Figure) -> None:
    unique: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        unique |= zip(labels, handles, strict=True)
    figure.legend(list(unique.values()), list(unique), loc="outside upper left", ncols=5)
