"""How pictures look that matplotlib draws: all who draw with it take it from here.

It is loaded in a directory of nobody's, since it follows a `matplotlibrc` in the working
directory, which may be anybody's. Pictures look the same everywhere, and text in them is shown
as it stands, for it may come from a scenario.
"""

from __future__ import annotations

import os
from typing import Any

from scenarios.reports.svg import FAINT, GRID, INK

_here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
os.chdir("/")
try:
    import matplotlib
finally:
    os.fchdir(_here)
    os.close(_here)

matplotlib.rcdefaults()
matplotlib.rcParams["text.parse_math"] = False

from matplotlib import style  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.axis import Axis  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import LogFormatter, MaxNLocator  # noqa: E402

__all__ = ["STYLE", "Axes", "Figure", "MaxNLocator", "plain_log", "style"]

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
