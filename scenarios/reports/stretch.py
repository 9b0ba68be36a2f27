"""What agents that think cost: capacity over the stretch r of an agent's time, and the working set
over its square (paper section 8.2, which expects both to grow so)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from scenarios.analysis.capacity import Capacities, at_capacity
from scenarios.configuration.schema import Scenario
from scenarios.planning.points import expand
from scenarios.reports.drawing import colour
from scenarios.reports.figures import Axes, Figure, plain_log
from scenarios.reports.svg import INK

GAPS = {"workload.gap", "workload.gap_scale"}
"""Keys that stretch an agent's time and change nothing else."""
DASHES = (0, (4, 3))


class Stretched(NamedTuple):
    """A system at its capacity.

    Attributes:
        r: an agent's JCT there over that at the sweep's first point.
    """

    r: float
    capacity_aps: float
    working_set_bytes: float


def is_of_gaps(scenario: Scenario) -> bool:
    """Whether a sweep changes nothing but how long agents think."""
    return all(values and GAPS.issuperset(values) for values in expand(scenario))


def stretched(found: Mapping[str, Capacities], system: str) -> list[Stretched]:
    """A system over a sweep of gaps, without the points at which it has no capacity; nothing
    where it has none at the first one."""
    jct_s, told = 0.0, []
    for place, one in enumerate(found.values()):
        point = at_capacity(one.systems[system]) if system in one.systems else None
        if point is None or not point.agent_jct_s or point.working_set_bytes is None:
            if not place:
                return []
            continue
        jct_s = jct_s or point.agent_jct_s
        told.append(Stretched(point.agent_jct_s / jct_s, point.aps, point.working_set_bytes))
    return told


def draw(found: Mapping[str, Capacities], pool_bytes: float | None) -> Figure | None:
    """Capacity over r, and the working set there over r squared; dashed as the paper expects them
    from each system's first point. None without a capacity.

    Args:
        pool_bytes: what a pool in DRAM holds, where a system has one.
    """
    names = list(dict.fromkeys(name for one in found.values() for name in one.systems))
    curves = {name: told for name in names if (told := stretched(found, name))}
    if not curves:
        return None
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    capacity, held = figure.subplots(1, 2)
    for name, told in curves.items():
        tint = colour(name, names)
        r = [one.r for one in told]
        squares = [one.r**2 for one in told]
        _line(capacity, name, tint, r, [one.capacity_aps for one in told])
        _line(held, name, tint, squares, [one.working_set_bytes / 1e9 for one in told])
        first = told[0]
        capacity.plot(r, [first.capacity_aps * x for x in r], color=tint, ls=DASHES, lw=1)
        size_gb = first.working_set_bytes / 1e9
        held.plot(squares, [size_gb * x for x in squares], color=tint, ls=DASHES, lw=1)
    if pool_bytes is not None:
        held.axhline(pool_bytes / 1e9, color=INK, lw=0.9)
        held.text(
            0.99, pool_bytes / 1e9, "the pool", transform=held.get_yaxis_transform(), ha="right"
        )
    _axes(capacity, "r", "capacity, agents a second")
    _axes(held, "r squared", "working set there, GB")
    figure.legend(*capacity.get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def _line(axes: Axes, name: str, tint: str, x: list[float], y: list[float]) -> None:
    axes.plot(x, y, "o-", color=tint, lw=1.3, ms=5, label=name)


def _axes(axes: Axes, over: str, title: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    plain_log(axes.xaxis, base=2)
    plain_log(axes.yaxis, base=2)
    axes.set_xlabel(over)
    axes.set_title(title)
