"""Pictures of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plan.deployment import System
from scenarios.analysis.sweep_figures import (
    ALL_SNICS,
    CNIC_DIRECTIONS,
    DE_SNIC,
    DRAMS,
    PE_SNIC,
    Ideal,
    PointFigures,
    Shape,
    Sweep,
    SystemFigures,
)
from scenarios.configuration.systems import BASELINE, title
from scenarios.planning.points import PD, Point
from scenarios.reports.drawing import colour
from scenarios.reports.figures import STYLE, Axes, Figure, style
from scenarios.reports.page import embedded
from scenarios.reports.svg import INK

DIRECTION_COLOURS = dict(
    zip(CNIC_DIRECTIONS, ("#56B4E9", "#0072B2", "#E69F00", "#D55E00"), strict=True)
)
"""PE blue, DE orange; reads light, writes dark."""


DRAM_COLOURS = dict(zip(DRAMS, ("#0072B2", "#D55E00"), strict=True))


SIDE_MARKS = {PE_SNIC: "^", DE_SNIC: "v"}


BAND = "#009E73"


CURVE = 97
"""Values of P/D along which a line of the theory is drawn."""


@dataclass(frozen=True)
class _Column:
    """Points that differ along the axis only: a panel of their own.

    Attributes:
        label: what they share, where there are several columns.
        places: of each point on the axis.
    """

    label: str
    points: Sequence[PointFigures]
    places: Sequence[float]
    shape: Shape


@dataclass(frozen=True)
class _Chart:
    """What every picture is drawn from; `ratio` where the axis is P/D."""

    columns: Sequence[_Column]
    systems: Sequence[System]
    axis: str
    ratio: bool

    @property
    def names(self) -> list[str]:
        return [system.name for system in self.systems]


def chart(sweep: Sweep, points: Sequence[Point]) -> _Chart:
    """Put the points on an axis, P/D where it is swept, else the first key that varies.

    The fewest other keys that tell points at one place apart make columns, so that a key
    that follows the axis (agents with nodes) makes none.
    """
    first = points[0].values
    varying = [key for key in first if len({_text(point.values[key]) for point in points}) > 1]
    ratio = PD in varying or not varying
    axis = PD if ratio else varying[0]
    splits: list[str] = []
    for key in (key for key in varying if key != axis):
        if _crowded(points, [axis, *splits]):
            splits.append(key)
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, point in enumerate(points):
        groups.setdefault(tuple(_text(point.values[key]) for key in splits), []).append(index)
    columns = []
    for chosen, members in groups.items():
        label = ", ".join(
            f"{k.rpartition('.')[2]} {v}" for k, v in zip(splits, chosen, strict=True)
        )
        shown = [sweep.points[index] for index in members]
        places = [one.ratio for one in shown] if ratio else list(map(float, range(len(shown))))
        shape = Shape.of(points[members[0]].scenario.cluster)
        columns.append(_Column(label, shown, places, shape))
    return _Chart(columns, points[0].scenario.compared, "P / D" if ratio else axis, ratio)


def _text(value: object) -> str:
    return str(value)


def _crowded(points: Sequence[Point], keys: Sequence[str]) -> bool:
    seen = [tuple(_text(point.values.get(key)) for key in keys) for point in points]
    return len(set(seen)) < len(seen)


def draw(directory: Path, sweep: Sweep, points: Sequence[Point]) -> list[tuple[str, str, str]]:
    """Write every picture that there are figures for; returns title, caption, PNG in base64."""
    directory.mkdir(parents=True, exist_ok=True)
    charted = chart(sweep, points)
    drawn = []
    for name, (function, heading, caption) in PICTURES.items():
        with style.context(STYLE):
            figure = function(charted)
            if figure is not None:
                path = directory / f"{name}.png"
                figure.savefig(path)
                drawn.append((heading, caption, embedded(path)))
    return drawn


def _panels(charted: _Chart, rows: int = 1, height: float = 3.0) -> tuple[Figure, list[list[Axes]]]:
    columns = len(charted.columns)
    figure = Figure(figsize=(max(8.0, 5.2 * columns), 0.6 + height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex="col", sharey="row")
    for row in grid:
        for axes, column in zip(row, charted.columns, strict=True):
            axes.set_title(column.label)
            if charted.ratio:
                _band(axes, column)
    for axes, column in zip(grid[-1], charted.columns, strict=True):
        if charted.ratio:
            axes.set_xscale("log")
        # a log axis brings minor ticks of its own
        axes.set_xticks([], minor=True)
        labels = [f"{p.prefill}:{p.decode}" if charted.ratio else p.label for p in column.points]
        axes.set_xticks(column.places, labels, rotation=0 if charted.ratio else 20, fontsize=8)
        axes.set_xlabel(charted.axis)
    return figure, [list(row) for row in grid]


def _band(axes: Axes, column: _Column) -> None:
    """Shade where theory sees no bottleneck, as far as points go."""
    band = column.shape.band
    lo, hi = _ends(column)
    if band.lo < band.hi and max(lo, band.lo) < min(hi, band.hi):
        axes.axvspan(
            max(lo, band.lo),
            min(hi, band.hi),
            color=BAND,
            alpha=0.09,
            lw=0,
            label="bottleneck-free",
        )


def _ends(column: _Column) -> tuple[float, float]:
    return min(column.places) / 1.15, max(column.places) * 1.15


def _theory(
    axes: Axes,
    charted: _Chart,
    column: _Column,
    system: System,
    pick: Callable[[Ideal], float],
    line: Mapping[str, Any],
) -> None:
    """A line of the theory: along P/D, else from point to point."""
    if charted.ratio:
        lo, hi = _ends(column)
        xs = [float(x) for x in np.geomspace(lo, hi, CURVE)]
        ideals = [column.shape.ideal(system, x, 1) for x in xs]
    else:
        xs = list(column.places)
        ideals = [column.shape.ideal(system, p.prefill, p.decode) for p in column.points]
    if all(ideals):
        axes.plot(xs, [pick(one) for one in ideals if one], **line)


def _measured(
    column: _Column, system: str, pick: Callable[[SystemFigures], float | None]
) -> tuple[list[float], list[float]]:
    found = [
        (place, value)
        for place, point in zip(column.places, column.points, strict=True)
        if system in point.systems and (value := pick(point.systems[system])) is not None
    ]
    found.sort()
    return [x for x, _ in found], [y for _, y in found]


def _legend(figure: Figure, grid: Sequence[Sequence[Axes]]) -> None:
    unique: dict[str, Any] = {}
    for axes in (axes for row in grid for axes in row):
        handles, labels = axes.get_legend_handles_labels()
        unique |= zip(labels, handles, strict=True)
    figure.legend(list(unique.values()), list(unique), loc="outside lower center", ncols=4)


def _per_system(
    charted: _Chart,
    label: str,
    pick: Callable[[SystemFigures], float | None],
    floor: float,
    without: str = "",
) -> Figure | None:
    """One line of measured figures per system."""
    figure, grid = _panels(charted)
    for axes, column in zip(grid[0], charted.columns, strict=True):
        for system in charted.names:
            xs, ys = _measured(column, system, pick)
            if xs and system != without:
                axes.plot(xs, ys, "o-", color=colour(system, charted.names), label=system)
        axes.set_ylim(bottom=floor)
    if not any(axes.lines for axes in grid[0]):
        return None
    grid[0][0].set_ylabel(label)
    _legend(figure, grid)
    return figure


def jct(charted: _Chart) -> Figure | None:
    """JCT of every system."""
    return _per_system(charted, "JCT, model seconds", lambda figures: figures.jct_s, 0.0)


def speedup(charted: _Chart) -> Figure | None:
    """Speed-up over the baseline of every other system."""
    return _per_system(
        charted,
        f"{title(BASELINE)}'s JCT over the system's",
        lambda figures: figures.speedup,
        0.0,
        without=BASELINE,
    )


def balance(charted: _Chart) -> Figure | None:
    """Fullest over average SNIC."""
    return _per_system(
        charted, "fullest SNIC / average", lambda figures: figures.snic_max_over_avg, 0.9
    )


def collectives(charted: _Chart) -> Figure | None:
    """Time in collectives over that of their bytes."""
    return _per_system(
        charted,
        "in collectives / their bytes alone",
        lambda figures: figures.collectives,
        0.0,
    )


def snics(charted: _Chart) -> Figure | None:
    """Read use of all SNICs, and of each side's, beside the most that theory allows."""
    figure, grid = _panels(charted, rows=len(charted.systems), height=2.4)
    for row, system in zip(grid, charted.systems, strict=True):
        tint = colour(system.name, charted.names)
        for axes, column in zip(row, charted.columns, strict=True):
            line = {"color": INK, "lw": 1.1, "ls": (0, (4, 3)), "label": "all, theory"}
            _theory(axes, charted, column, system, lambda ideal: ideal.snics[ALL_SNICS], line)
            axes.plot(*_use(column, system.name, ALL_SNICS), "o", color=tint, label=system.name)
            for side, mark in SIDE_MARKS.items():
                axes.plot(
                    *_use(column, system.name, side),
                    mark,
                    color=tint,
                    markerfacecolor="white",
                    label=f"{system.name}, {side}",
                )
            axes.set_ylim(0, 1.08)
            axes.set_title(", ".join(filter(None, (system.name, column.label))))
        row[0].set_ylabel("SNIC read use")
    _legend(figure, grid)
    return figure


def _use(column: _Column, system: str, resource: str) -> tuple[list[float], list[float]]:
    return _measured(column, system, lambda f: _value(f, resource))


def _value(figures: SystemFigures, resource: str) -> float | None:
    one = figures.loads.get(resource) or figures.snics.get(resource)
    return one.measured if one else None


def loads(charted: _Chart) -> Figure | None:
    """CNIC loads of every system that moves KV-Cache, beside the theory's lines."""
    return _loads(
        charted,
        DIRECTION_COLOURS,
        ("CNIC load, B s / g", "a CNIC's rate"),
        lambda point: point.cnic_capacity,
    )


def drams(charted: _Chart) -> Figure | None:
    """DRAM loads of every system that moves KV-Cache, beside the theory's lines."""
    return _loads(
        charted, DRAM_COLOURS, ("DRAM load, B s", "DRAM's rate"), lambda point: point.dram_capacity
    )


def _loads(
    charted: _Chart,
    colours: Mapping[str, str],
    words: tuple[str, str],
    capacity: Callable[[PointFigures], float],
) -> Figure | None:
    """Dots measured, lines predicted, a row per system.

    Args:
        words: for the axis and for the line of the capacity.
    """
    systems = [system for system in charted.systems if system.io]
    if not systems:
        return None
    figure, grid = _panels(charted, rows=len(systems), height=3.4)
    for row, system in zip(grid, systems, strict=True):
        for axes, column in zip(row, charted.columns, strict=True):
            for resource, tint in colours.items():
                line = {"color": tint, "lw": 1.1}
                _theory(axes, charted, column, system, _load(resource), line)
                axes.plot(*_use(column, system.name, resource), "o", color=tint, label=resource)
            limit = capacity(column.points[0])
            axes.axhline(limit, color=INK, lw=0.9, ls=(0, (4, 3)), label=words[1])
            axes.set_title(", ".join(filter(None, (system.name, column.label))))
        row[0].set_ylabel(words[0])
        row[0].set_ylim(0, 1.3 * max(capacity(column.points[0]) for column in charted.columns))
    _legend(figure, grid)
    return figure


def _load(resource: str) -> Callable[[Ideal], float]:
    return lambda ideal: ideal.loads[resource]


PICTURES: dict[str, tuple[Callable[[_Chart], Figure | None], str, str]] = {
    "jct": (jct, "Completion time", "Time until the last request was done; shorter is better."),
    "speedup": (
        speedup,
        "Speed-up",
        f"{title(BASELINE)}'s completion time over the system's, at the same point.",
    ),
    "snics": (
        snics,
        "Storage NICs",
        "Read use of the storage NICs in the steady part of each run: mean over all nodes, and "
        "over either side's. The dashed line is a prediction: the most that the system could "
        "read before a storage NIC, a compute NIC or DRAM is full.",
    ),
    "loads": (
        loads,
        "Compute NICs",
        "Load of a compute NIC in each direction, local copies included, in units of a storage "
        "NIC's rate over the GPUs of its node. Dots are measured, lines predicted for full and "
        "balanced storage NICs. In the shaded band no line exceeds a CNIC's rate; outside it the "
        "storage NICs cannot all be full.",
    ),
    "drams": (
        drams,
        "DRAM",
        "Reads and writes of a node's DRAM, in units of a storage NIC's rate. Dots are measured, "
        "lines predicted for full and balanced storage NICs.",
    ),
    "balance": (
        balance,
        "Balance of the storage NICs",
        "The fullest storage NIC over the average, while they are busy. 1 is perfect balance.",
    ),
    "collectives": (
        collectives,
        "Time in collectives",
        "Time that engines spent in collectives over the time of the same bytes alone on a compute "
        "NIC. The Oracle's collectives have the network to themselves: what a system's take "
        "beyond that is KV-Cache in their way.",
    ),
}
"""Function, title and caption of each picture, in the report's order."""
