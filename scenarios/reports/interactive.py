"""What the page draws by itself: charts, the fabric over time, and requests, as JSON.

Everything is small: curves keep the lowest and the highest point of each piece, numbers four
digits, loads a byte each.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from scenarios.reports.charts import Chart, Curve, Panel
from scenarios.results.windows import Series

PIECES = 300
"""Of a curve, from each of which two points are kept."""


def data(parts: Mapping[str, Any]) -> str:
    """JSON that can stand in a page's script element."""
    return msgspec.json.encode(parts, enc_hook=float).decode().replace("<", "\\u003c")


def of_chart(chart: Chart) -> dict[str, Any]:
    """A chart for the page; `labels` are those of its legend with their colours."""
    return {
        "columns": chart.columns,
        "x_labels": list(chart.x_labels),
        "end": chart.end,
        "log_x": chart.log_x,
        "log_y": chart.log_y,
        "labels": chart.labels,
        "panels": [_of_panel(panel) for panel in chart.panels],
    }


def _of_panel(panel: Panel) -> dict[str, Any]:
    x, rows = _together(panel.curves, steps=panel.steps)
    if panel.stacked:
        rows = np.cumsum(np.nan_to_num(rows), axis=0)
    kept = _extremes(rows)
    return {
        "title": panel.title,
        "unit": panel.unit,
        "note": panel.note,
        "stacked": panel.stacked,
        "steps": panel.steps,
        "filled": panel.filled,
        "gaps": panel.gaps,
        "levels": [list(level) for level in panel.levels],
        "marks": list(panel.marks),
        "top": panel.top,
        "bottom": panel.bottom,
        "x": rounded(x[kept], digits=6),
        "curves": [
            {
                "label": curve.label,
                "colour": curve.colour,
                "dashed": curve.dashed,
                "y": rounded(row[kept]),
            }
            for curve, row in zip(panel.curves, rows, strict=True)
        ],
    }


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


def rounded(values: Series, digits: int = 4) -> list[float | None]:
    """To so many digits; None for what is no number."""
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in values.tolist()]


def in_bytes(levels: Series, full: float) -> str:
    """Levels from 0 to `full` as bytes from 0 to 255, in base64."""
    scaled = np.clip(np.nan_to_num(levels) / full, 0, 1) * 255
    return base64.b64encode(np.round(scaled).astype(np.uint8).tobytes()).decode()
