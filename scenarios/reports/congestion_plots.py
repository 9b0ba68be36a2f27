"""Pictures of balance and congestion; see `plots` for what they have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from plan.fabric import SIDES, Fabric
from plan.names import into, node_of, out_of
from plan.records import ForwardRecord
from scenarios.reports.charts import Chart, Curve, Panel
from scenarios.reports.drawing import (
    FAINT,
    INK,
    LANE_COLOURS,
    Run,
    colour,
    plain_log,
)
from scenarios.results import congestion, windows
from scenarios.results.windows import Series

PAPER_ATTENTION = 1.06
"""Paper section 7, Fig 14; drawn as the paper's."""
COLUMNS = 200
"""Windows of a heat map over a whole run."""
NAMED_ROWS = 40
"""A heat map with more rows names their groups instead."""
LONGEST_QUEUES = 24
LEVELS = ("edge", "aggregation", "core")


def attention_balance(run: Run) -> Chart | None:
    """Longest over average attention time in a forward, over time, per system."""
    names = [result.system.name for result in run.results]
    edges = np.linspace(0, run.end_s, COLUMNS // 2 + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    curves = []
    for result in run.results:
        name = result.system.name
        mean = run.summary.systems[name].attention_max_over_avg
        if mean is not None:
            ratio = _ratio(congestion.forwards(result.node_stats), edges)
            label = f"{name}, mean {mean:.2f}"
            curves.append(Curve(label, colour(name, names), centres, ratio))
    if not curves:
        return None
    panel = Panel(
        "longest / average attention",
        curves,
        gaps=True,
        levels=[(PAPER_ATTENTION, "paper")],
        bottom=1.0,
    )
    return Chart([panel], end=run.end_s, height=2.0)


def _ratio(passes: Sequence[ForwardRecord], edges: Series) -> Series:
    times = np.array([f.t_s for f in passes])
    tokens = np.array([f.tokens for f in passes], dtype=float)
    longest = tokens * np.array([f.attention_max_s for f in passes])
    mean = tokens * np.array([f.attention_mean_s for f in passes])
    above, _ = np.histogram(times, edges, weights=longest)
    below, _ = np.histogram(times, edges, weights=mean)
    ratio: Series = np.full(len(edges) - 1, np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def engine_tokens(run: Run) -> Figure | None:
    """Unfinished tokens of each engine over time: a row per system, a column per side."""
    results = [r for r in run.results if any(x.assigned_s is not None for x in r.records)]
    if not results:
        return None
    edges = np.linspace(0, run.end_s, COLUMNS + 1)
    engines = {side: congestion.engines(run.plan, side) for side in SIDES}
    most = max(len(names) for names in engines.values())
    figure = Figure(
        figsize=(9, 0.6 + len(results) * min(3.0, 0.7 + 0.16 * most)), layout="constrained"
    )
    grid = figure.subplots(len(results), 2, sharex=True, sharey="col", squeeze=False)
    for column, side in enumerate(SIDES):
        levels = {
            r.system.name: congestion.unfinished_tokens(run.plan, r.records, side, edges) / 1e3
            for r in results
        }
        top = max(float(level.max()) for level in levels.values())
        for axes, (name, level) in zip(grid[:, column], levels.items(), strict=True):
            places = np.arange(len(level) + 1)
            image = axes.pcolormesh(edges, places, level, cmap="viridis", vmin=0, vmax=top)
            axes.set_title(f"{name} · {side}")
            _name_engines(axes, engines[side])
        figure.colorbar(
            image, ax=list(grid[:, column]), label="thousand tokens", pad=0.01, aspect=30
        )
        grid[-1][column].set_xlabel("model seconds")
    grid[0][0].set_xlim(0, run.end_s)
    return figure


def _name_engines(axes: Axes, engines: Sequence[str]) -> None:
    """Every engine by name, or where they are many, nodes."""
    axes.grid(visible=False)
    axes.set_ylim(len(engines), 0)
    if len(engines) <= 8:
        axes.set_yticks(np.arange(len(engines)) + 0.5, engines, fontsize=8)
        return
    nodes = [node_of(name) for name in engines]
    starts = [place for place, node in enumerate(nodes) if place == 0 or nodes[place - 1] != node]
    middles = np.convolve([*starts, len(nodes)], [0.5, 0.5], "valid")
    axes.set_yticks(middles, [nodes[start] for start in starts], fontsize=8)
    for start in starts[1:]:
        axes.axhline(start, color="white", lw=0.7)


def collective_times(run: Run) -> Chart | None:
    """Cumulative distribution of the collectives' durations, per system."""
    names = [result.system.name for result in run.results]
    curves = []
    for result in run.results:
        durations = congestion.durations(result.node_stats)
        if durations.count:
            times, part = np.array(durations.cumulative()).T
            name = result.system.name
            curves.append(Curve(name, colour(name, names), 1e3 * times, part))
    if not curves:
        return None
    panel = Panel("share of collectives", curves, steps=True, top=1.02)
    return Chart([panel], x_labels=["duration of a collective, model ms"], log_x=True, height=2.0)


def fabric_use(run: Run) -> Figure | None:
    """Use of every NIC and link in each direction over time: a heat map per system."""
    if not run.cuts:
        return None
    groups = fabric_rows(run.plan.fabric)
    rows = [name for names in groups.values() for name in names]
    named = len(rows) <= NAMED_ROWS
    places = _places(groups, thinnest=0 if named else len(rows) / 28)
    height = 0.17 * len(rows) + 0.4 if named else 5.0
    figure = Figure(figsize=(9, 0.5 + height * len(run.cuts)), layout="constrained")
    panels = figure.subplots(len(run.cuts), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (system, cut) in zip(panels, run.cuts.items(), strict=True):
        use = np.stack([100 * series for series in uses(run.plan.fabric, cut, rows)])
        image = axes.pcolormesh(cut.edges_s, places, use, cmap="Blues", vmin=0, vmax=100)
        axes.set_title(system)
        _name_rows(axes, groups, places, named=named)
        axes.set_facecolor("#eef0f3")
        axes.set_xlim(0, run.end_s)
    panels[-1].set_xlabel("model seconds")
    figure.colorbar(image, ax=list(panels), label="% of rate", pad=0.01, aspect=30)
    return figure


def fabric_rows(fabric: Fabric) -> dict[str, list[str]]:
    """Every direction of every NIC and link but the management plane's, in groups of a kind.

    A NIC's are `<nic> in` and `<nic> out`, seen from its node; a link's `a→b`.
    """
    groups: dict[str, list[str]] = {}
    for order in ("snic", "cnic"):
        for nic in fabric.nics:
            if nic.kind == order:
                kind = fabric.kind_of(nic.node)
                for way, egress in (("in", into(nic.name)), ("out", out_of(nic.name))):
                    groups.setdefault(f"{kind} {nic.kind.upper()} {way}", []).append(egress)
    level = {switch.name: LEVELS.index(switch.level) for switch in fabric.switches}
    for link in fabric.links:
        if link.plane != "management":
            first, second = link.directions
            rising = level[link.a] < level[link.b]
            upper = LEVELS[max(level[link.a], level[link.b])]
            for name, up in ((first, rising), (second, not rising)):
                label = f"{link.plane} {'up to' if up else 'down from'} {upper}"
                groups.setdefault(label, []).append(name)
    return groups


def uses(fabric: Fabric, cut: windows.Windows, rows: Sequence[str]) -> list[Series]:
    """Use (1 is the rate) of each row of `fabric_rows` in each window."""
    found: dict[str, Series] = {}
    for nic in fabric.nics:
        read, written = cut.read[nic.name], cut.written[nic.name]
        entering, leaving = (read, written) if nic.kind == "snic" else (written, read)
        found[into(nic.name)] = entering / nic.rate_bps
        found[out_of(nic.name)] = leaving / nic.rate_bps
    for link in fabric.links:
        for direction in link.directions:
            if direction in cut.links:
                found[direction] = cut.links[direction] / link.rate_bps
    return [found[row] for row in rows]


def _places(groups: dict[str, list[str]], thinnest: float) -> Series:
    """Limits of the rows; a group of few rows is drawn `thinnest` high at least."""
    heights = [max(1.0, thinnest / len(names)) for names in groups.values() for _ in names]
    return np.concatenate([[0.0], np.cumsum(heights)])


def _name_rows(axes: Axes, groups: dict[str, list[str]], places: Series, *, named: bool) -> None:
    axes.grid(visible=False)
    axes.set_ylim(places[-1], 0)
    starts = np.cumsum([0, *(len(names) for names in groups.values())])
    for start in starts[1:-1]:
        axes.axhline(places[start], color=INK if named else "white", lw=0.5)
    if named:
        rows = [name for names in groups.values() for name in names]
        axes.set_yticks((places[:-1] + places[1:]) / 2, rows, fontsize=7)
    else:
        middles = (places[starts[:-1]] + places[starts[1:]]) / 2
        labels = [f"{label} ({len(names)})" for label, names in groups.items()]
        axes.set_yticks(middles, labels, fontsize=7)


def lane_backlog(run: Run) -> Chart | None:
    """What waits in each lane's queues over time: a row per system."""
    panels = []
    for result in run.results:
        times = np.array([sample.t_s for sample in result.backlog])
        waiting = {
            lane.name: congestion.lane_backlog(result.backlog, lane.name) / 1e6
            for lane in run.plan.lanes.lanes
            if result.backlog
        }
        curves = [
            Curve(name, LANE_COLOURS.get(name, FAINT), times, level)
            for name, level in waiting.items()
            if level.any()
        ]
        if result.backlog:
            panels.append(Panel("MB waiting", curves, title=result.system.name))
    return Chart(panels, end=run.end_s, log_y=True) if panels else None


def egress_backlog(run: Run) -> Figure | None:
    """What waits at the egresses with the longest queues over time: a heat map per system."""
    queues = {
        r.system.name: queue
        for r in run.results
        if len(r.backlog) > 1 and (queue := congestion.egress_backlog(r.backlog))
    }
    if not queues:
        return None
    names = _longest(queues)
    top = max(float(series.max()) for by_name in queues.values() for series in by_name.values())
    height = max(1.2, 0.17 * len(names) + 0.4)
    figure = Figure(figsize=(9, 0.5 + height * len(queues)), layout="constrained")
    rows = figure.subplots(len(queues), 1, sharex=True, squeeze=False)[:, 0]
    norm = LogNorm(vmin=min(1.0, top / 1e7), vmax=top / 1e6)
    for axes, (system, by_name) in zip(rows, queues.items(), strict=True):
        result = next(r for r in run.results if r.system.name == system)
        times = np.array([sample.t_s for sample in result.backlog])
        level = np.stack([by_name.get(name, np.zeros(len(times))) for name in names]) / 1e6
        image = axes.pcolormesh(
            times, np.arange(len(names)), level, cmap="Reds", norm=norm, shading="nearest"
        )
        axes.set_title(system)
        axes.set_yticks(np.arange(len(names)), names, fontsize=7)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, run.end_s)
    rows[-1].set_xlabel("model seconds")
    bar = figure.colorbar(image, ax=list(rows), label="MB waiting", pad=0.01, aspect=30)
    plain_log(bar.ax.yaxis)
    return figure


def _longest(queues: dict[str, dict[str, Series]]) -> list[str]:
    names = list(dict.fromkeys(name for by_name in queues.values() for name in by_name))
    level = {
        name: max(float(by[name].mean()) for by in queues.values() if name in by) for name in names
    }
    return sorted(names, key=lambda name: -level[name])[:LONGEST_QUEUES]
