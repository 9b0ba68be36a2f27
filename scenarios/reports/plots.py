"""The pictures of a report: one function each, from measured data to what is drawn of it.

Colours are Okabe and Ito's, which stay apart for all kinds of colour vision. Everything is
in model units. A function returns None where there is no data for its picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from plan.fabric import Nic
from plan.names import engine_name
from plan.records import RequestRecord
from scenarios.configuration.systems import BASELINE
from scenarios.reports.bars import Bar, Bars, ColumnPanel, Columns
from scenarios.reports.charts import Chart, Curve, Panel, shares, stairs
from scenarios.reports.drawing import DECODE, LANE_COLOURS, PART_COLOURS, PREFILL, Run, colour
from scenarios.reports.svg import FAINT
from scenarios.results import latencies, metrics
from scenarios.results.latencies import PARTS
from scenarios.results.steps import steps
from scenarios.results.summary import Summary
from scenarios.results.windows import Windows

MANY_NODES = 8
"""With more nodes than this, nodes of a kind share one panel."""


def jct(run: Run) -> Bars | None:
    """Bars of JCT, with the speed-up over the baseline."""
    times = {name: s.jct_s for name, s in run.summary.systems.items() if s.jct_s is not None}
    if not times:
        return None
    rows = [
        Bar(
            name,
            [(time_s, colour(name, list(times)))],
            f"{time_s:.4g} s{_speedup(run.summary, name)}",
        )
        for name, time_s in times.items()
    ]
    return Bars("job completion time, model seconds", rows, {})


def _speedup(summary: Summary, name: str) -> str:
    if not summary.systems[name].fidelity.complete:
        return "  (incomplete)"
    speedup = summary.speedup_over_basic.get(name)
    return "" if speedup is None or name == BASELINE else f"  {speedup:.2f}x"


def snic_use(run: Run) -> Chart | None:
    """Each SNIC's read use over time: a row per system, a column per node."""
    if not run.cuts:
        return None
    groups = _groups(run)
    panels = [
        _snic_panel(run, system, cut, label, nics)
        for system, cut in run.moving().items()
        for label, nics in groups.items()
    ]
    return Chart(panels, columns=len(groups), end=run.end_s, height=130)


def _groups(run: Run) -> dict[str, list[Nic]]:
    if len(run.snics) <= MANY_NODES:
        return {f"{nic.node} ({run.side(nic.node)})": [nic] for nic in run.snics}
    groups: dict[str, list[Nic]] = {}
    for nic in run.snics:
        groups.setdefault(run.side(nic.node), []).append(nic)
    return {f"{len(nics)} {kind} nodes": nics for kind, nics in groups.items()}


def _snic_panel(run: Run, system: str, cut: Windows, label: str, nics: Sequence[Nic]) -> Panel:
    uses = np.stack([100 * cut.read[nic.name] / nic.rate_bps for nic in nics])
    side = run.side(nics[0].node)
    fill = PREFILL if side == "prefill" else DECODE
    curves = [Curve(f"{side} nodes", fill, *stairs(cut.edges_s, uses.mean(axis=0)))]
    if len(uses) > 1:
        fullest = stairs(cut.edges_s, uses.max(axis=0))
        curves.append(Curve("fullest", fill, *fullest, dashed=True))
    note = ""
    if measured := run.summary.systems[system].snic:
        level = 100 * float(np.mean([measured[nic.node].utilisation for nic in nics]))
        note = f"mean {level:.{0 if level >= 10 else 1}f} %"
    return Panel(
        "SNIC read, %",
        curves,
        title=f"{system} · {label}",
        note=note,
        steps=True,
        filled=True,
        levels=[(100, "")],
        marks=[float(cut.edges_s[-1])],
        top=108,
    )


def snic_balance(run: Run) -> Chart | None:
    """Largest over average SNIC read rate over time, per system."""
    curves = []
    for system, cut in run.cuts.items():
        ratio = metrics.balance(cut, run.snics)
        if np.isfinite(ratio).any():
            label = f"{system}, mean {np.nanmean(ratio):.2f}"
            tint = colour(system, list(run.cuts))
            curves.append(Curve(label, tint, cut.centres_s, ratio))
    if not curves:
        return None
    top = max(1.25, 1.05 * max(float(np.nanmax(curve.y)) for curve in curves))
    panel = Panel(
        "fullest SNIC / average", curves, gaps=True, levels=[(1, "")], bottom=0.95, top=top
    )
    return Chart([panel], end=run.end_s, height=180)


def lane_traffic(run: Run) -> Chart | None:
    """Traffic of each lane over time, stacked: a row per system."""
    names = [lane.name for lane in run.plan.lanes.lanes]
    used = [name for name in names if any(cut.lanes[name].any() for cut in run.cuts.values())]
    if not used:
        return None
    top = max(
        float(np.sum([cut.lanes[n] for n in used], axis=0).max()) for cut in run.cuts.values()
    )
    panels = [
        Panel(
            "Gbit/s",
            [
                Curve(name, LANE_COLOURS.get(name, FAINT), cut.centres_s, cut.lanes[name] / 1e9)
                for name in used
            ],
            title=system,
            stacked=True,
            top=1.05 * top / 1e9,
        )
        for system, cut in run.moving().items()
    ]
    return Chart(panels, end=run.end_s)


def token_times(run: Run) -> Chart | None:
    """Cumulative distributions of TTFT, TTST and TPOT per system."""
    kinds: dict[str, Callable[[Sequence[RequestRecord]], list[float]]] = {
        "TTFT, s": latencies.ttft_s,
        "TTST, ms": lambda records: [1e3 * value for value in latencies.ttst_s(records)],
        "TPOT, ms": lambda records: [1e3 * value for value in latencies.tpot_s(records)],
    }
    names = [result.system.name for result in run.results]
    panels = []
    for measure in kinds.values():
        curves = [
            Curve(r.system.name, colour(r.system.name, names), *shares(values))
            for r in run.results
            if (values := measure(r.records))
        ]
        panels.append(Panel("share of requests", curves, steps=True, top=1.02))
    if not any(panel.curves for panel in panels):
        return None
    return Chart(panels, columns=len(kinds), x_labels=list(kinds), height=190)


def ttft_parts(run: Run) -> Bars | None:
    """What mean TTFT is made of, per system."""
    parts = {n: s.ttft_parts_s for n, s in run.summary.systems.items() if s.ttft_parts_s}
    if not parts:
        return None
    colours = dict(zip(PARTS, PART_COLOURS, strict=True))
    rows = [
        Bar(name, [(by_part[part], colours[part]) for part in PARTS])
        for name, by_part in parts.items()
    ]
    return Bars("mean time to first token, model seconds", rows, colours)


def cnic_use(run: Run) -> Columns | None:
    """Read and write utilisation of each CNIC, with the theory's bound where given."""
    systems = {name: s.cnic for name, s in run.summary.systems.items() if s.cnic}
    if not systems:
        return None
    dual = {r.system.name for r in run.results if r.system.io and r.system.paths == "dual"}
    panels = []
    for system, nodes in systems.items():
        uses = [use for gpus in nodes.values() for use in gpus.values()]
        values = {
            "read": [100 * use.read_utilisation for use in uses],
            "write": [100 * use.write_utilisation for use in uses],
        }
        marks: dict[str, list[float]] = {}
        if run.theory and system in dual:
            bounds = [run.theory[run.side(node)] for node, gpus in nodes.items() for _ in gpus]
            for name, bound in zip(values, zip(*bounds, strict=True), strict=True):
                marks[name] = [100 * level for level in bound]
        panels.append(ColumnPanel(system, values, marks))
    groups = [engine_name(n, int(gpu)) for n, gpus in nodes.items() for gpu in gpus]
    colours = {"read": "#0072B2", "write": "#E69F00"}
    return Columns("% of CNIC rate", groups, panels, colours, mark="theory")


def tokens_in_progress(run: Run) -> Chart | None:
    """Tokens (prompt and generation) of the requests in flight, over time."""
    names = [result.system.name for result in run.results]
    curves = []
    for result in run.results:
        done = [
            (record.submit_s, record.done_s, record.prompt_tokens + record.gen_tokens)
            for record in result.records
            if record.done_s is not None
        ]
        if done:
            held = steps(
                [*((at_s, tokens) for at_s, _, tokens in done)]
                + [(at_s, -tokens) for _, at_s, tokens in done]
            )
            name = result.system.name
            curves.append(Curve(name, colour(name, names), held.times_s, held.levels / 1e3))
    if not curves:
        return None
    return Chart([Panel("thousand tokens", curves, steps=True)], height=180)
