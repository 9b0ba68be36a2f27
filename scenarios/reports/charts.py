"""Charts: curves over time or over a quantity, as data; drawn as SVG here, and by the page itself.

A chart has panels, a panel curves. All values are in the units that the labels name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenarios.reports.svg import FAINT, GRID, INK, Drawing, Scale, back, label, way
from scenarios.results.windows import Series

TIME = "model seconds"
WIDTH = 900.0
LEFT, RIGHT, HEAD, FOOT = 62.0, 14.0, 24.0, 20.0
"""Around a panel, px."""
PIECES = 300
"""Of a curve, from each of which two points are kept."""


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
        height: of a row, px.
    """

    panels: Sequence[Panel]
    columns: int = 1
    x_labels: Sequence[str] = (TIME,)
    end: float | None = None
    log_x: bool = False
    log_y: bool = False
    height: float = 140.0

    def drawn(self) -> Drawing:
        """The chart as a picture."""
        rows = -(-len(self.panels) // self.columns)
        key = 26.0 if len(self.labels) > 1 else 6.0
        deep = self.height + HEAD + FOOT
        drawing = Drawing(max(WIDTH, 280.0 * self.columns), key + deep * rows + 40)
        if len(self.labels) > 1:
            drawing.legend(self.labels, LEFT, 16)
        wide = drawing.width / self.columns
        for place, panel in enumerate(self.panels):
            row, column = divmod(place, self.columns)
            _Place(drawing, self, panel, (wide * column, key + deep * row), wide).draw()
            if place + self.columns >= len(self.panels):
                x, words = (
                    wide * column + (wide + LEFT) / 2,
                    self.x_labels[column % len(self.x_labels)],
                )
                drawing.text(x, key + deep * (row + 1) + 24, words, anchor="middle")
        return drawing

    @property
    def labels(self) -> dict[str, str]:
        """Colour of every curve by its label, dashed ones left out."""
        curves = (curve for panel in self.panels for curve in panel.curves if not curve.dashed)
        return {curve.label: curve.colour for curve in curves if curve.label}


def stairs(edges: Series, values: Series) -> tuple[Series, Series]:
    """X and y, n + 1 each, of steps that n values make between n + 1 limits."""
    return edges, np.append(values, values[-1:])


def shares(values: Sequence[float]) -> tuple[Series, Series]:
    """X and y of the share of values at or below x."""
    return np.sort(values), np.arange(1, len(values) + 1) / len(values)


def points(panel: Panel) -> tuple[Series, Series]:
    """What is shown of a panel: x (n), and a row for each curve (m x n), NaN where it has no value.

    Areas are summed up. Of each of some 300 pieces of the x axis the lowest and highest value of
    each row is kept.
    """
    x, rows = _together(panel.curves, steps=panel.steps)
    if panel.stacked:
        rows = np.cumsum(np.nan_to_num(rows), axis=0)
    kept = _extremes(rows)
    return x[kept], rows[:, kept]


def _together(curves: Sequence[Curve], *, steps: bool) -> tuple[Series, Series]:
    """All x of some curves, in order, and a row for each curve, NaN where it has no value."""
    if not curves:
        return np.zeros(0), np.zeros((0, 0))
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    rows = np.full((len(curves), len(x)), np.nan)
    for row, curve in zip(rows, curves, strict=True):
        if len(curve.x) == len(x):
            row[:] = curve.y
        elif steps:
            place = np.searchsorted(curve.x, x, side="right") - 1
            row[place >= 0] = curve.y[place[place >= 0]]
        else:
            inside = (x >= curve.x[0]) & (x <= curve.x[-1])
            row[inside] = np.interp(x[inside], curve.x, curve.y)
    return x, rows


def _extremes(rows: Series) -> list[int]:
    """Places of the points that are kept: the lowest and highest of each row in each piece."""
    length = rows.shape[1]
    if length <= 2 * PIECES:
        return list(range(length))
    kept = {0, length - 1}
    pieces = np.array_split(np.arange(length), max(1, PIECES // len(rows)))
    for row in rows:
        for piece in pieces:
            values = row[piece]
            if np.isfinite(values).any():
                kept |= {int(piece[np.nanargmin(values)]), int(piece[np.nanargmax(values)])}
    return sorted(kept)


class _Place:
    """A panel on its place in a picture: its upper left corner and width, px."""

    def __init__(
        self,
        drawing: Drawing,
        chart: Chart,
        panel: Panel,
        corner: tuple[float, float],
        width: float,
    ) -> None:
        self._drawing, self._chart, self._panel = drawing, chart, panel
        self._x, self._rows = points(panel)
        self._left, self._right = corner[0] + LEFT, corner[0] + width - RIGHT
        self._top, self._bottom = corner[1] + HEAD, corner[1] + HEAD + chart.height
        first, last = (float(self._x[0]), float(self._x[-1])) if len(self._x) else (0.0, 1.0)
        self._across = Scale(
            first if chart.log_x else min(0.0, first),
            last if chart.end is None else chart.end,
            self._left,
            self._right,
            "log" if chart.log_x else "linear",
        )
        there = self._rows[np.isfinite(self._rows)]
        top = 1.05 * float(there.max(initial=panel.bottom)) if panel.top is None else panel.top
        self._up = Scale(
            panel.bottom,
            top if top > panel.bottom else panel.bottom + 1.0,
            self._bottom,
            self._top,
            "asinh" if chart.log_y else "linear",
        )

    def draw(self) -> None:
        """Draw all of it but the words below."""
        drawing, panel = self._drawing, self._panel
        self._axes()
        for row in reversed(range(len(panel.curves))):
            self._curve(row)
        for level, words in panel.levels:
            y = self._up.at(level)
            drawing.line((self._left, y), (self._right, y), INK, width=0.7, dashed=True)
            drawing.text(self._right, y - 4, words, anchor="end", size=10)
        for mark in panel.marks:
            x = self._across.at(mark)
            drawing.line((x, self._top), (x, self._bottom), INK, width=0.7, dashed=True)
        drawing.text(self._left, self._top - 8, panel.title, bold=True)
        drawing.text(self._right, self._top - 8, panel.note, anchor="end")
        middle = (self._top + self._bottom) / 2
        drawing.text(self._left - LEFT + 14, middle, panel.unit, anchor="middle", turned=True)

    def _axes(self) -> None:
        drawing = self._drawing
        for tick in self._across.ticks():
            x = self._across.at(tick)
            drawing.line((x, self._top), (x, self._bottom), GRID)
            drawing.text(x, self._bottom + 14, label(tick), anchor="middle", size=10)
        for tick in self._up.ticks():
            y = self._up.at(tick)
            drawing.line((self._left, y), (self._right, y), GRID)
            drawing.text(self._left - 6, y + 4, label(tick), anchor="end", size=10)
        drawing.line((self._left, self._bottom), (self._right, self._bottom), FAINT)
        drawing.line((self._left, self._top), (self._left, self._bottom), FAINT)

    def _curve(self, row: int) -> None:
        """A curve and what lies below it; those that are gaps elsewhere are led over them."""
        panel, curve = self._panel, self._panel.curves[row]
        there = np.isfinite(self._rows[row])
        if not there.any():
            return
        seen = there | panel.gaps
        x = self._across.all_at(self._x[seen])
        y = self._up.all_at(np.clip(self._rows[row][seen], panel.bottom, self._up.high))
        line = way(x, y, steps=panel.steps)
        if panel.stacked or (panel.filled and row == 0):
            below = self._rows[row - 1][seen] if panel.stacked and row else np.zeros(len(x))
            floor = self._up.all_at(np.maximum(below, panel.bottom))
            opacity = 1.0 if panel.stacked else 0.3
            self._drawing.area(line + back(x, floor, steps=panel.steps), curve.colour, opacity)
        if not panel.stacked:
            self._drawing.curve(line, curve.colour, dashed=curve.dashed)
