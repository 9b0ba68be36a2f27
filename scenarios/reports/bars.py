"""Bars: one across for each row, or groups of columns; as data, and drawn as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scenarios.reports.svg import FAINT, GRID, INK, Drawing, Scale, label, letters

WIDTH = 800.0
ROW = 42.0
PANEL = 150.0
MANY_COLUMNS = 12
"""More groups than this have upright names."""


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

    def drawn(self) -> Drawing:
        """The bars as a picture."""
        top = 30.0 if self.colours else 8.0
        drawing = Drawing(WIDTH, top + ROW * len(self.rows) + 50)
        left = 20 + max(letters(row.name) for row in self.rows)
        room = max((letters(row.note) for row in self.rows), default=0.0) + 20
        longest = max(row.length for row in self.rows)
        scale = Scale(0, longest or 1.0, left, WIDTH - room)
        bottom = top + ROW * len(self.rows)
        for tick in scale.ticks():
            x = scale.at(tick)
            drawing.line((x, top), (x, bottom), GRID)
            drawing.text(x, bottom + 16, label(tick), anchor="middle")
        drawing.text((left + WIDTH - room) / 2, bottom + 38, self.unit, anchor="middle")
        drawing.legend(self.colours, left, 16)
        for place, row in enumerate(self.rows):
            y, x = top + ROW * place, left
            for length, colour in row.parts:
                wide = scale.at(length) - left
                drawing.box(x, y + 6, wide, ROW - 12, colour)
                x += wide
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

    def drawn(self) -> Drawing:
        """The columns as a picture."""
        many = len(self.groups) > MANY_COLUMNS
        foot = 14 + max(map(letters, self.groups)) if many else 24.0
        drawing = Drawing(WIDTH, 30 + (PANEL + 34) * len(self.panels) + foot)
        levels = [level for panel in self.panels for row in panel.marks.values() for level in row]
        key = {**self.colours, self.mark: INK} if levels else self.colours
        drawing.legend(key, 60, 16)
        values = [value for panel in self.panels for row in panel.values.values() for value in row]
        top = 1.05 * max(values + levels, default=0.0) or 1.0
        for place, panel in enumerate(self.panels):
            self._panel(drawing, panel, 30 + (PANEL + 34) * place, top)
        end = 30 + (PANEL + 34) * len(self.panels)
        step = (WIDTH - 70) / len(self.groups)
        for place, name in enumerate(self.groups):
            x = 60 + step * (place + 0.5)
            if many:
                drawing.text(x + 4, end + 4, name, anchor="end", turned=True)
            else:
                drawing.text(x, end + 14, name, anchor="middle")
        return drawing

    def _panel(self, drawing: Drawing, panel: ColumnPanel, y: float, top: float) -> None:
        scale = Scale(0, top, y + 24 + PANEL, y + 24)
        drawing.text(60, y + 16, panel.title, bold=True)
        drawing.text(14, y + 24 + PANEL / 2, self.unit, anchor="middle", turned=True)
        for tick in scale.ticks():
            drawing.line((60, scale.at(tick)), (WIDTH - 10, scale.at(tick)), GRID)
            drawing.text(54, scale.at(tick) + 4, label(tick), anchor="end")
        step = (WIDTH - 70) / len(self.groups)
        wide = 0.8 * step / len(self.colours)
        for place, (name, colour) in enumerate(self.colours.items()):
            for group, value in enumerate(panel.values[name]):
                x = 60 + step * (group + 0.1) + wide * place
                drawing.box(x, scale.at(value), wide * 0.95, scale.start - scale.at(value), colour)
                if name in panel.marks:
                    level = scale.at(panel.marks[name][group])
                    drawing.line((x, level), (x + wide * 0.95, level), INK, width=2)
        drawing.line((60, scale.start), (WIDTH - 10, scale.start), FAINT)
