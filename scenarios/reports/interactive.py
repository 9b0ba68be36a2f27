"""What the page draws by itself: charts, the fabric over time, and requests, as JSON.

Everything is small: curves keep the lowest and the highest point of each piece, numbers four
digits, loads a byte each.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from scenarios.reports.charts import Chart, Panel, points
from scenarios.results.windows import Series


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
    x, rows = points(panel)
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
        "x": rounded(x, digits=6),
        "curves": [
            {
                "label": curve.label,
                "colour": curve.colour,
                "dashed": curve.dashed,
                "y": rounded(row),
            }
            for curve, row in zip(panel.curves, rows, strict=True)
        ],
    }


def rounded(values: Series, digits: int = 4) -> list[float | None]:
    """To so many digits; None for what is no number."""
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in values.tolist()]


def in_bytes(levels: Series, full: float) -> str:
    """Levels from 0 to `full` as bytes from 0 to 255, in base64."""
    scaled = np.clip(np.nan_to_num(levels) / full, 0, 1) * 255
    return base64.b64encode(np.round(scaled).astype(np.uint8).tobytes()).decode()
