"""Pictures of a search for capacities, over the arrival rate (paper section 7.4, Figs 10 to 12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from scenarios.analysis.capacity import UNDECIDED, Capacities, Point
from scenarios.configuration.schema import Slo
from scenarios.reports.drawing import PART_COLOURS, Picture, colour
from scenarios.reports.figures import STYLE, Axes, Figure, style
from scenarios.reports.svg import INK
from scenarios.results.latencies import PARTS

Value = Callable[[Point], float | None]
APS = "agents a second"
FILLED: Mapping[str, Literal["full", "none", "left"]] = {
    "kept": "full",
    "missed": "none",
    UNDECIDED: "left",
}
"""How a point's mark is filled, by what is said of its SLO."""

WORDS = {
    "service": (
        "Service over the arrival rate",
        "Means over the requests of each run's measured window, and over the agents that ended in "
        "it. Dashed is the SLO; a hollow mark missed it, at a half-filled one TTFT still rose when "
        "the run ended.",
    ),
    "ttft_parts": (
        "Where the time to the first token goes",
        "Mean parts of TTFT at each rate, in the paper's terms (its Fig 12).",
    ),
    "working_set": (
        "Working set",
        "KV-Cache of the agents alive, measured, over the arrival rate; dashed is the paper's "
        "formula (its section 8.2) from measured arrivals, completion times and lengths.",
    ),
}
"""Title and caption of each picture."""


def draw(out_dir: Path, found: Capacities, slo: Slo) -> list[Picture]:
    """Write every picture that there are points for into `out_dir`."""
    out_dir.mkdir(parents=True, exist_ok=True)
    pictures = []
    with style.context(STYLE):
        figures = {
            "service": service(found, slo),
            "ttft_parts": ttft_parts(found),
            "working_set": working_set(found),
        }
        for name, figure in figures.items():
            if figure is not None:
                path = out_dir / f"{name}.png"
                figure.savefig(path)
                pictures.append(Picture(path, *WORDS[name]))
    return pictures


def service(found: Capacities, slo: Slo) -> Figure | None:
    """TTFT, TTST, TPOT and JCT of agents over the rate, a line for each system."""
    if not any(_told(found, name) for name in found.systems):
        return None
    figure = Figure(figsize=(9, 6), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True)
    panels: tuple[tuple[str, Value, float | None], ...] = (
        ("mean TTFT, s", lambda p: p.ttft_s, float(slo.ttft)),
        ("mean TTST, ms", lambda p: _ms(p.ttst_s), None),
        ("mean TPOT, ms", lambda p: _ms(p.tpot_s), 1e3 * slo.tpot),
        ("mean agent JCT, s", lambda p: p.agent_jct_s, None),
    )
    for axes, (label, value, bound) in zip(grid.flat, panels, strict=True):
        for name in found.systems:
            _line(axes, found, name, value)
        if bound is not None:
            axes.axhline(bound, color=INK, lw=0.9, ls=(0, (4, 3)))
            axes.set_ylim(top=min(axes.get_ylim()[1], 2 * bound))
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
        axes.set_ylabel(label)
    for axes in grid[-1]:
        axes.set_xlabel(APS)
        axes.set_xlim(left=0)
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def ttft_parts(found: Capacities) -> Figure | None:
    """Stacked parts of mean TTFT at each rate, a panel for each system."""
    told = {
        name: points
        for name in found.systems
        if (points := [p for p in _told(found, name) if p.ttft_parts_s])
    }
    if not told:
        return None
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(told), sharey=True, squeeze=False)[0]
    kept = [p.ttft_s or 0.0 for points in told.values() for p in points if p.slo_met]
    highest = max(kept, default=0.0)
    for axes, (name, points) in zip(panels, told.items(), strict=True):
        below = np.zeros(len(points))
        places = np.arange(len(points))
        for part, shade in zip(PARTS, PART_COLOURS, strict=True):
            height = np.array([point.ttft_parts_s[part] for point in points])
            axes.bar(places, height, 0.7, bottom=below, color=shade, label=part)
            below = below + height
        axes.set_xticks(places, [f"{point.aps:.3g}" for point in points])
        axes.tick_params(axis="x", rotation=90 if len(points) > 6 else 0)
        axes.grid(visible=False, axis="x")
        axes.set_title(name)
        axes.set_xlabel(APS)
    panels[0].set_ylim(0, 1.25 * highest if highest else None)
    panels[0].set_ylabel("mean TTFT, s")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def working_set(found: Capacities) -> Figure | None:
    """KV-Cache of agents alive over the rate, and the formula."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    for name in found.systems:
        _line(axes, found, name, lambda point: _gb(point.working_set_bytes))
        formula = [
            (point.aps, size)
            for point in _told(found, name)
            if (size := _gb(point.working_set_formula_bytes)) is not None
        ]
        axes.plot(*_columns(formula), color=colour(name, list(found.systems)), ls=(0, (4, 3)), lw=1)
    if not axes.lines:
        return None
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(APS)
    axes.set_ylabel("GB of KV-Cache")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def _told(found: Capacities, name: str) -> list[Point]:
    """The points of a system that have figures."""
    return [point for point in found.systems[name].points if point.said]


def _line(axes: Axes, found: Capacities, name: str, value: Value) -> None:
    tint = colour(name, list(found.systems))
    points = [(p, y) for p in _told(found, name) if (y := value(p)) is not None]
    axes.plot(*_columns([(p.aps, y) for p, y in points]), color=tint, lw=1.4, label=name)
    for point, y in points:
        axes.plot(
            point.aps,
            y,
            "o",
            color=tint,
            ms=5,
            fillstyle=FILLED[point.said],
            markerfacecoloralt="white",
        )


def _columns(rows: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in rows], [y for _, y in rows]


def _ms(value: float | None) -> float | None:
    return None if value is None else 1e3 * value


def _gb(value: float | None) -> float | None:
    return None if value is None else value / 1e9
