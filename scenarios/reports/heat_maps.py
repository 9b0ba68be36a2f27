"""Heat maps: levels of many rows over time, as data, and drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenarios.reports.svg import FAINT, NARROW, SIZE, Drawing, Scale, dots, label, letters
from scenarios.results.windows import Series

WIDTH = 900.0
NAME = 11.0
"""Size of names of rows and levels."""
TICK = 60.0
"""Of the time axis, px for each value that is labelled."""
BAR = 90.0
"""Of a column, its colour bar and what stands beside it."""

PALETTES = {
    "blues": "f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b",
    "reds": "fff5f0 fee0d2 fcbba1 fc9272 fb6a4a ef3b2c cb181d a50f15 67000d",
}
"""From low to high, of ColorBrewer's."""


@dataclass(frozen=True)
class HeatPanel:
    """One map.

    Attributes:
        edges: n + 1 limits of its columns, model seconds.
        places: m + 1 limits of its rows, in whatever is even.
        levels: m x n.
        names: (place, name) of rows or groups of them.
        borders: places between groups.
    """

    title: str
    edges: Series
    places: Series
    levels: Series
    names: Sequence[tuple[float, str]]
    borders: Sequence[float] = ()


@dataclass(frozen=True)
class HeatColumn:
    """Maps one below another with one scale of colours, from `low` to `high`."""

    panels: Sequence[HeatPanel]
    high: float
    low: float = 0.0


@dataclass(frozen=True)
class HeatMap:
    """Columns side by side, each with as many maps.

    Attributes:
        unit: of the levels.
        end: of the time axis.
        height: of a map, px.
        log: colours go by the logarithm.
    """

    columns: Sequence[HeatColumn]
    unit: str
    palette: str
    end: float
    height: float
    log: bool = False

    def drawn(self, width: float = WIDTH) -> Drawing:
        """The maps as a picture; a narrow one has columns one below another."""
        side_by_side = 1 if width <= NARROW else len(self.columns)
        wide = width / side_by_side
        high = 48 + max(len(column.panels) for column in self.columns) * (self.height + 30)
        drawing = Drawing(width, high * len(self.columns) / side_by_side)
        for place, column in enumerate(self.columns):
            down, across = divmod(place, side_by_side)
            self._column(drawing, column, (wide * across, high * down), wide)
        return drawing

    def _column(
        self, drawing: Drawing, column: HeatColumn, corner: tuple[float, float], width: float
    ) -> None:
        """Maps from a corner on."""
        x, y = corner
        names = [name for panel in column.panels for _, name in panel.names]
        left = x + 16 + max(map(letters, names), default=0.0) * NAME / SIZE
        across = Scale(0, self.end, left, x + width - BAR)
        for row, panel in enumerate(column.panels):
            self._map(drawing, panel, across, y + 30 + row * (self.height + 30), column)
        bottom = y + len(column.panels) * (self.height + 30)
        for tick in across.ticks(max(1, int((across.end - left) / TICK))):
            drawing.text(across.at(tick), bottom + 16, label(tick), anchor="middle")
        drawing.text((left + across.end) / 2, bottom + 36, "model seconds", anchor="middle")
        self._bar(drawing, column, across.end + 12, y + 30, bottom - y - 30)

    def _map(
        self, drawing: Drawing, panel: HeatPanel, across: Scale, y: float, column: HeatColumn
    ) -> None:
        down = Scale(panel.places[0], panel.places[-1], y, y + self.height)
        drawing.text(across.start, y - 7, panel.title, bold=True)
        drawing.box(across.start, y, across.end - across.start, self.height, "#eef0f3")
        limits = across.all_at(panel.edges)
        grid = panel.levels[np.ix_(_nearest(down.all_at(panel.places)), _nearest(limits))]
        shade = Scale(column.low, column.high, 0, 255, "log" if self.log else "linear")
        places = np.round(np.clip(np.nan_to_num(shade.all_at(grid)), 0, 255))
        picture = dots(places.astype(np.uint8), _colours(self.palette))
        start, end = float(limits[0]), float(limits[-1])
        drawing.image(start, y, end - start, self.height, picture)
        for border in panel.borders:
            level = down.at(border)
            drawing.line((across.start, level), (across.end, level), "#fff", width=0.7)
        for place, name in panel.names:
            drawing.text(across.start - 5, down.at(place) + 3.5, name, anchor="end", size=NAME)

    def _bar(self, drawing: Drawing, column: HeatColumn, x: float, y: float, height: float) -> None:
        shades = np.arange(255, -1, -1, dtype=np.uint8)[:, None]
        drawing.image(x, y, 10, height, dots(shades, _colours(self.palette)))
        scale = Scale(column.low, column.high, y + height, y, "log" if self.log else "linear")
        for tick in scale.ticks():
            drawing.line((x + 10, scale.at(tick)), (x + 13, scale.at(tick)), FAINT)
            drawing.text(x + 16, scale.at(tick) + 4, label(tick), size=NAME)
        drawing.text(x + 70, y + height / 2, self.unit, anchor="middle", turned=True, size=NAME)


def _nearest(limits: Series) -> NDArray[np.intp]:
    """For each px from the first limit to the last, the place of the piece that it is in."""
    count = max(1, round(float(limits[-1] - limits[0])))
    middles = limits[0] + (np.arange(count) + 0.5) * (limits[-1] - limits[0]) / count
    pieces = np.searchsorted(limits, middles, side="right") - 1
    places: NDArray[np.intp] = np.clip(pieces, 0, len(limits) - 2)
    return places


def _colours(palette: str) -> Series:
    """256 colours, n x 3."""
    known = [bytes.fromhex(one) for one in PALETTES[palette].split()]
    fixed = np.array([list(one) for one in known], dtype=float)
    at = np.linspace(0, len(fixed) - 1, 256)
    return np.stack([np.interp(at, np.arange(len(fixed)), part) for part in fixed.T], axis=1)
