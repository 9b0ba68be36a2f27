"""Capacities over a sweep: `capacities.json`, one picture, one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from scenarios.analysis.capacity import Capacities, Point
from scenarios.configuration.schema import Scenario
from scenarios.configuration.systems import title
from scenarios.reports.capacity_report import between
from scenarios.reports.drawing import STYLE, colour
from scenarios.reports.page import embedded, number, render
from scenarios.results.readable_json import write_json

TEMPLATE = "capacities.html.j2"

Found = Mapping[str, Capacities]
"""By the label of a sweep's point."""


def write_capacity_sweep(out: Path, scenario: Scenario, found: Found) -> None:
    """Write `capacities.json`, `capacities.png`, and `capacities.html` with all in it."""
    write_json(out / "capacities.json", dict(found))
    picture = out / "capacities.png"
    with style.context(STYLE):
        draw(found).savefig(picture)
    page = render(
        TEMPLATE,
        scenario=scenario,
        found={
            label: {
                title(name): (one, at_capacity(one.points, one.capacity_aps))
                for name, one in capacities.systems.items()
            }
            for label, capacities in found.items()
        },
        picture=embedded(picture),
        between=between,
        number=number,
    )
    (out / "capacities.html").write_text(page, encoding="utf-8")


def at_capacity(points: tuple[Point, ...], capacity_aps: float | None) -> Point | None:
    """The run at the capacity, if there is one."""
    return next((point for point in points if point.aps == capacity_aps), None)


def draw(found: Found) -> Figure:
    """Capacity, and what there is of agents and KV-Cache then, over the sweep's points."""
    names = list(dict.fromkeys(name for one in found.values() for name in one.systems))
    panels: tuple[tuple[str, Callable[[Point], float | None]], ...] = (
        ("capacity, agents a second", lambda point: point.aps),
        ("mean agent JCT there, s", lambda point: point.agent_jct_s),
        (
            "working set there, GB",
            lambda point: (
                None if point.working_set_bytes is None else point.working_set_bytes / 1e9
            ),
        ),
    )
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    columns = figure.subplots(1, len(panels))
    for axes, (label, value) in zip(columns, panels, strict=True):
        for name in names:
            heights = []
            for place, capacities in enumerate(found.values()):
                one = capacities.systems[name]
                point = at_capacity(one.points, one.capacity_aps)
                if point is not None and (height := value(point)) is not None:
                    heights.append((place, height))
            places, tops = [x for x, _ in heights], [y for _, y in heights]
            axes.plot(places, tops, "o-", color=colour(name, names), lw=1.3, ms=5, label=name)
        axes.set_xticks(range(len(found)), list(found), rotation=90)
        axes.set_ylim(bottom=0)
        axes.set_title(label)
    figure.legend(*columns[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure
