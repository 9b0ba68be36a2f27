"""How pictures look that matplotlib draws."""

from __future__ import annotations

from typing import Any

from matplotlib.axis import Axis
from matplotlib.ticker import LogFormatter

from scenarios.reports.svg import FAINT, GRID, INK

STYLE = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.dpi": 160,
    "text.parse_math": False,
}


def plain_log(axis: Axis, **options: Any) -> None:
    """Label a logarithmic axis in digits, its own way being mathematics."""
    axis.set_major_formatter(LogFormatter(**options))
    axis.set_minor_formatter(LogFormatter(**options))
