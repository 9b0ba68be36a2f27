"""Bars: one across for each row, or groups of columns; as data, and drawn as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scenarios.reports.svg import (
    FAINT,
    GRID,
    INK,
    LINE,
    NARROW,
    SIZE,
    Drawing,
    Scale,
    label,
    legend_lines,
    letters,
)

WIDTH = 800.0
ROW = 42.0
PANEL = 150.0
TICK = 75.0
"""Of an axis across, px for each value that is labelled."""
MARGIN = 60.0
"""Of columns on the left, where levels are labelled."""


@dataclass(frozen=True)
class Bar:
    """A row: its parts, (length, colour), one after another, and a word behind them."""

    name: str
    parts: Sequence[tuple[float, str]]
    note: str = ""

    @property
    def length(self) -> float:
        """Of all parts."""
        return sum(length for length, _ in self.parts)


@dataclass(frozen=True)
class Bars:
    """Rows over one axis; `colours` of the parts by their labels, if there are several."""

    unit: str
    rows: Sequence[Bar]
    colours: Mapping[str, str]

    def drawn(self, width: float = WIDTH) -> Drawing:
        """The bars as a picture; in a narrow one names and words stand above them."""
        above = width <= NARROW
        left = 20 + max(letters(row.name) for row in self.rows)
        right = width - max((letters(row.note) for row in self.rows), default=0.0) - 20
        longest = max(row.length for row in self.rows)
        if above:
            left, right = 10.0, width - max(20.0, letters(label(round(longest))) / 2)
        top = 12.0 + LINE * len(legend_lines(self.colours, width - left))
        bottom = top + ROW * len(self.rows)
        drawing = Drawing(width, bottom + 50)
        scale = Scale(0, longest or 1.0, left, right)
        for tick in scale.ticks(int((right - left) / TICK)):
            x = scale.at(tick)
            drawing.line((x, top), (x, bottom), GRID)
            drawing.text(x, bottom + 16, label(tick), anchor="middle")
        drawing.text((left + right) / 2, bottom + 38, self.unit, anchor="middle")
        drawing.legend(self.colours, left, 16)
        for place, row in enumerate(self.rows):
            y, x = top + ROW * place, left
            upper, lower = (y + SIZE + 6, y + ROW - 4) if above else (y + 6, y + ROW - 6)
            for length, colour in row.parts:
                wide = scale.at(length) - left
                drawing.box(x, upper, wide, lower - upper, colour)
                x += wide
            if above:
                drawing.text(left, y + SIZE, row.name)
                drawing.text(width - 10, y + SIZE, row.note, anchor="end")
            else:
                drawing.text(left - 8, y + ROW / 2 + 4, row.name, anchor="end")
                drawing.text(x + 8, y + ROW / 2 + 4, row.note)
        drawing.line((left, top), (left, bottom), FAINT)
        return drawing


@dataclass(frozen=True)
class ColumnPanel:
    """A column for each label and group.

    Attributes:
        values: by label, one for each group.
        marks: by label, a level across each group's column.
    """

    title: str
    values: Mapping[str, Sequence[float]]
    marks: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Columns:
    """Panels one below another with the same groups; `colours` by label."""

    unit: str
    groups: Sequence[str]
    panels: Sequence[ColumnPanel]
    colours: Mapping[str, str]
    mark: str = ""

    def drawn(self, width: float = WIDTH) -> Drawing:
        """The columns as a picture; names that have no room side by side stand upright."""
        step = (width - MARGIN - 10) / len(self.groups)
        longest = max(map(letters, self.groups))
        foot = 14 + longest if longest > step else 24.0
        levels = [level for panel in self.panels for row in panel.marks.values() for level in row]
        key = {**self.colours, self.mark: INK} if levels else self.colours
        head = 12 + LINE * len(legend_lines(key, width - MARGIN))
        drawing = Drawing(width, head + (PANEL + 34) * len(self.panels) + foot)
        drawing.legend(key, MARGIN, 16)
        values = [value for panel in self.panels for row in panel.values.values() for value in row]
        top = 1.05 * max(values + levels, default=0.0) or 1.0
        for place, panel in enumerate(self.panels):
            self._panel(drawing, panel, head + (PANEL + 34) * place, top, step)
        end = head + (PANEL + 34) * len(self.panels)
        for place, name in enumerate(self.groups):
            x = MARGIN + step * (place + 0.5)
            if longest > step:
                drawing.text(x + 4, end + 4, name, anchor="end", turned=True)
            else:
                drawing.text(x, end + 14, name, anchor="middle")
        return drawing

    def _panel(
        self, drawing: Drawing, panel: ColumnPanel, y: float, top: float, step: float
    ) -> None:
        """A panel from `y` on, as high as `top`; a group takes `step` px."""
        scale, right = Scale(0, top, y + 24 + PANEL, y + 24), drawing.width - 10
        drawing.text(MARGIN, y + 16, panel.title, bold=True)
        drawing.text(14, y + 24 + PANEL / 2, self.unit, anchor="middle", turned=True)
        for tick in scale.ticks():
            drawing.line((MARGIN, scale.at(tick)), (right, scale.at(tick)), GRID)
            drawing.text(MARGIN - 6, scale.at(tick) + 4, label(tick), anchor="end")
        wide = 0.8 * step / len(self.colours)
        for place, (name, colour) in enumerate(self.colours.items()):
            for group, value in enumerate(panel.values[name]):
                x = MARGIN + step * (group + 0.1) + wide * place
                drawing.box(x, scale.at(value), wide * 0.95, scale.start - scale.at(value), colour)
                if name in panel.marks:
                    level = scale.at(panel.marks[name][group])
                    drawing.line((x, level), (x + wide * 0.95, level), INK, width=2)
        drawing.line((MARGIN, scale.start), (right, scale.start), FAINT)
