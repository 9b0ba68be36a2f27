"""Pictures of balance and congestion; see `plots` for what they have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plan.fabric import SIDES, Fabric
from plan.names import into, node_of, out_of
from plan.records import ForwardRecord
from scenarios.reports.charts import Chart, Curve, Panel
from scenarios.reports.drawing import LANE_COLOURS, Run, colour
from scenarios.reports.heat_maps import HeatColumn, HeatMap, HeatPanel
from scenarios.reports.svg import FAINT
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
    return Chart([panel], end=run.end_s, height=180)


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


def engine_tokens(run: Run) -> HeatMap | None:
    """Unfinished tokens of each engine over time: a row per system, a column per side."""
    results = [r for r in run.results if any(x.assigned_s is not None for x in r.records)]
    if not results:
        return None
    edges = np.linspace(0, run.end_s, COLUMNS + 1)
    engines = {side: congestion.engines(run.plan, side) for side in SIDES}
    columns = []
    for side in SIDES:
        names, borders = _engine_names(engines[side])
        places = np.arange(len(engines[side]) + 1.0)
        panels = [
            HeatPanel(
                f"{r.system.name} · {side}",
                edges,
                places,
                congestion.unfinished_tokens(run.plan, r.records, side, edges) / 1e3,
                names,
                borders,
            )
            for r in results
        ]
        columns.append(HeatColumn(panels, max(float(p.levels.max()) for p in panels)))
    most = max(len(names) for names in engines.values())
    height = min(280.0, 40 + 16.0 * most)
    return HeatMap(columns, "thousand tokens", "blues", run.end_s, height)


def _engine_names(engines: Sequence[str]) -> tuple[list[tuple[float, str]], list[float]]:
    """Every engine's place and name, or where they are many, nodes', and where those begin."""
    if len(engines) <= 8:
        return [(place + 0.5, name) for place, name in enumerate(engines)], []
    nodes = [node_of(name) for name in engines]
    starts = [place for place, node in enumerate(nodes) if place == 0 or nodes[place - 1] != node]
    middles = np.convolve([*starts, len(nodes)], [0.5, 0.5], "valid").tolist()
    names = [nodes[start] for start in starts]
    return list(zip(middles, names, strict=True)), [float(start) for start in starts[1:]]


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
    return Chart([panel], x_labels=["duration of a collective, model ms"], log_x=True, height=180)


def fabric_use(run: Run) -> HeatMap | None:
    """Use of every NIC and link in each direction over time: a heat map per system."""
    if not run.cuts:
        return None
    groups = fabric_rows(run.plan.fabric)
    rows = [name for names in groups.values() for name in names]
    named = len(rows) <= NAMED_ROWS
    places = _places(groups, thinnest=0 if named else len(rows) / 28)
    names, borders = _row_names(groups, places, named=named)
    panels = [
        HeatPanel(
            system,
            cut.edges_s,
            places,
            np.stack([100 * series for series in uses(run.plan.fabric, cut, rows)]),
            names,
            borders,
        )
        for system, cut in run.moving().items()
    ]
    height = 16.0 * len(rows) if named else 480.0
    return HeatMap([HeatColumn(panels, 100.0)], "% of rate", "blues", run.end_s, height)


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


def _row_names(
    groups: dict[str, list[str]], places: Series, *, named: bool
) -> tuple[list[tuple[float, str]], list[float]]:
    """The place and name of each row, or of each group, and where groups begin."""
    starts = np.cumsum([0, *(len(names) for names in groups.values())])
    borders = places[starts[1:-1]].tolist()
    if named:
        rows = [name for names in groups.values() for name in names]
        middles = (places[:-1] + places[1:]) / 2
        return list(zip(middles.tolist(), rows, strict=True)), borders
    middles = (places[starts[:-1]] + places[starts[1:]]) / 2
    labels = [f"{label} ({len(names)})" for label, names in groups.items()]
    return list(zip(middles.tolist(), labels, strict=True)), borders


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


def egress_backlog(run: Run) -> HeatMap | None:
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
    panels = []
    for system, by_name in queues.items():
        result = next(r for r in run.results if r.system.name == system)
        times = np.array([sample.t_s for sample in result.backlog])
        level = np.stack([by_name.get(name, np.zeros(len(times))) for name in names]) / 1e6
        named = [(place + 0.5, name) for place, name in enumerate(names)]
        panels.append(HeatPanel(system, _around(times), np.arange(len(names) + 1.0), level, named))
    column = HeatColumn(panels, high=top / 1e6, low=min(1.0, top / 1e7))
    height = max(110.0, 16.0 * len(names))
    return HeatMap([column], "MB waiting", "reds", run.end_s, height, log=True)


def _around(times: Series) -> Series:
    """Limits, n + 1, half-way between n moments."""
    return np.concatenate([times[:1], (times[:-1] + times[1:]) / 2, times[-1:]])


def _longest(queues: dict[str, dict[str, Series]]) -> list[str]:
    names = list(dict.fromkeys(name for by_name in queues.values() for name in by_name))
    level = {
        name: max(float(by[name].mean()) for by in queues.values() if name in by) for name in names
    }
    return sorted(names, key=lambda name: -level[name])[:LONGEST_QUEUES]
