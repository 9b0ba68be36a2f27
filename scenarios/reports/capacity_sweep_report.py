"""Capacities over a sweep: `capacities.json`, pictures, one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scenarios.analysis.capacity import Capacities, Point, at_capacity
from scenarios.configuration.schema import Scenario
from scenarios.configuration.systems import title
from scenarios.reports import stretch
from scenarios.reports.capacity_report import between
from scenarios.reports.drawing import colour
from scenarios.reports.figures import STYLE, Figure, style
from scenarios.reports.page import embedded, number, render
from scenarios.reports.stretch import is_of_gaps
from scenarios.results.readable_json import write_json

TEMPLATE = "capacities.html.j2"

Found = Mapping[str, Capacities]
"""By the label of a sweep's point."""


def write_capacity_sweep(out: Path, scenario: Scenario, found: Found) -> None:
    """Write `capacities.json`, `capacities.png`, of a sweep of gaps `stretch.png`, and
    `capacities.html` with all in it."""
    write_json(out / "capacities.json", dict(found))
    picture = out / "capacities.png"
    over_r = out / "stretch.png"
    with style.context(STYLE):
        draw(found).savefig(picture)
        figure = stretch.draw(found, _pool_bytes(scenario)) if is_of_gaps(scenario) else None
        if figure is not None:
            figure.savefig(over_r)
    page = render(
        TEMPLATE,
        scenario=scenario,
        found={
            label: {
                title(name): (one, at_capacity(one)) for name, one in capacities.systems.items()
            }
            for label, capacities in found.items()
        },
        picture=embedded(picture),
        stretch=None if figure is None else embedded(over_r),
        between=between,
        number=number,
    )
    (out / "capacities.html").write_text(page, encoding="utf-8")


def _pool_bytes(scenario: Scenario) -> float | None:
    """What the pools in DRAM of all decode nodes hold, if a system has them."""
    if not any(system.dram_pool for system in scenario.compared):
        return None
    cluster = scenario.cluster
    return float(cluster.dram_pool) * float(cluster.slice) * cluster.decode


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
                point = at_capacity(one)
                if point is not None and (height := value(point)) is not None:
                    heights.append((place, height))
            places, tops = [x for x, _ in heights], [y for _, y in heights]
            axes.plot(places, tops, "o-", color=colour(name, names), lw=1.3, ms=5, label=name)
        axes.set_xticks(range(len(found)), list(found), rotation=90)
        axes.set_ylim(bottom=0)
        axes.set_title(label)
    figure.legend(*columns[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure
