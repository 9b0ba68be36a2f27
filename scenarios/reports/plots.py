"""The pictures of a report: one function each, from measured data to a matplotlib Figure.

Colours are Okabe and Ito's, which stay apart for all kinds of colour vision. Everything is
in model units. A function returns None where there is no data for its picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plan.fabric import Nic, Side
from plan.names import engine_name
from plan.records import RequestRecord
from scenarios.configuration.systems import BASELINE
from scenarios.reports.drawing import (
    DECODE,
    FAINT,
    INK,
    LANE_COLOURS,
    PART_COLOURS,
    PREFILL,
    Run,
    colour,
    legend,
    single,
)
from scenarios.results import latencies, metrics
from scenarios.results.latencies import PARTS
from scenarios.results.summary import Summary
from scenarios.results.windows import Series, Windows

MANY_NODES = 8
"""With more nodes than this, nodes of a kind share one panel."""


def jct(run: Run) -> Figure | None:
    """Bars of JCT, with the speed-up over the baseline."""
    times = {name: s.jct_s for name, s in run.summary.systems.items() if s.jct_s is not None}
    if not times:
        return None
    figure = Figure(figsize=(8, 0.7 + 0.5 * len(times)), layout="constrained")
    axes = figure.subplots()
    names = list(times)
    bars = axes.barh(
        names, [times[n] for n in names], color=[colour(n, names) for n in names], height=0.62
    )
    labels = [f"{times[name]:.4g} s{_speedup(run.summary, name)}" for name in names]
    axes.bar_label(bars, labels, padding=6, color=INK)
    axes.set_xlim(0, max(times.values()) * 1.22)
    axes.set_xlabel("job completion time, model seconds")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return figure


def _speedup(summary: Summary, name: str) -> str:
    if not summary.systems[name].fidelity.complete:
        return "  (incomplete)"
    speedup = summary.speedup_over_basic.get(name)
    return "" if speedup is None or name == BASELINE else f"  {speedup:.2f}x"


def snic_use(run: Run) -> Figure | None:
    """Each SNIC's read use over time: a row per system, a column per node."""
    if not run.cuts:
        return None
    panels = _panels(run)
    size = (max(8.0, min(2.8 * len(panels), 14.0)), 0.7 + 1.5 * len(run.cuts))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(run.cuts), len(panels), sharex=True, sharey=True, squeeze=False)
    for row, (system, cut) in zip(grid, run.cuts.items(), strict=True):
        for axes, (label, nics) in zip(row, panels.items(), strict=True):
            uses = np.stack([100 * cut.read[nic.name] / nic.rate_bps for nic in nics])
            _snic_panel(axes, cut, uses, run.side(nics[0].node))
            if measured := run.summary.systems[system].snic:
                use = [measured[nic.node].utilisation for nic in nics]
                _label_mean(axes, 100 * float(np.mean(use)))
            axes.set_title(f"{system} · {label}")
        row[0].set_ylabel("SNIC read, %")
    grid[0][0].set_xlim(0, run.end_s)
    grid[0][0].set_ylim(0, 108)
    for axes in grid[-1]:
        axes.set_xlabel("model seconds")
    return figure


def _panels(run: Run) -> dict[str, list[Nic]]:
    if len(run.snics) <= MANY_NODES:
        return {f"{nic.node} ({run.side(nic.node)})": [nic] for nic in run.snics}
    panels: dict[str, list[Nic]] = {}
    for nic in run.snics:
        panels.setdefault(run.side(nic.node), []).append(nic)
    return {f"{len(nics)} {kind} nodes": nics for kind, nics in panels.items()}


def _snic_panel(axes: Axes, cut: Windows, uses: Series, side: Side) -> None:
    fill = PREFILL if side == "prefill" else DECODE
    mean = uses.mean(axis=0)
    axes.stairs(mean, cut.edges_s, fill=True, color=fill, alpha=0.3)
    axes.stairs(mean, cut.edges_s, color=fill, lw=1.3, baseline=None)
    if len(uses) > 1:
        axes.stairs(uses.max(axis=0), cut.edges_s, color=fill, lw=0.7, ls=":", baseline=None)
    axes.axhline(100, color=INK, lw=0.7, ls=(0, (4, 3)))
    axes.axvline(cut.edges_s[-1], color=FAINT, lw=0.8)


def _label_mean(axes: Axes, level: float) -> None:
    axes.text(
        0.03,
        0.5 if level < 40 else 0.14,
        f"mean {level:.{0 if level >= 10 else 1}f} %",
        transform=axes.transAxes,
        color=INK,
        fontweight="bold",
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 2},
    )


def snic_balance(run: Run) -> Figure | None:
    """Largest over average SNIC read rate over time, per system."""
    if not run.cuts:
        return None
    figure, axes = single(run, height=2.9)
    for system, cut in run.cuts.items():
        ratio = metrics.balance(cut, run.snics)
        if np.isfinite(ratio).any():
            label = f"{system}, mean {np.nanmean(ratio):.2f}"
            axes.plot(cut.centres_s, ratio, color=colour(system, list(run.cuts)), label=label)
    if not axes.lines:
        return None
    axes.axhline(1, color=INK, lw=0.7, ls=(0, (4, 3)))
    axes.set_ylim(0.95, max(1.25, axes.get_ylim()[1] * 1.05))
    axes.set_ylabel("fullest SNIC / average SNIC")
    legend(axes)
    return figure


def lane_traffic(run: Run) -> Figure | None:
    """Traffic of each lane over time, stacked: a row per system."""
    names = [lane.name for lane in run.plan.lanes.lanes]
    used = [name for name in names if any(cut.lanes[name].any() for cut in run.cuts.values())]
    if not used:
        return None
    figure = Figure(figsize=(9, 0.9 + 1.6 * len(run.cuts)), layout="constrained")
    rows = figure.subplots(len(run.cuts), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (system, cut) in zip(rows, run.cuts.items(), strict=True):
        axes.stackplot(
            cut.centres_s,
            [cut.lanes[name] / 1e9 for name in used],
            colors=[LANE_COLOURS.get(name, FAINT) for name in used],
            labels=used,
            lw=0,
        )
        axes.set_title(system)
        axes.set_ylabel("Gbit/s")
    rows[0].set_xlim(0, run.end_s)
    rows[-1].set_xlabel("model seconds")
    legend(rows[0])
    return figure


def token_times(run: Run) -> Figure | None:
    """Cumulative distributions of TTFT, TTST and TPOT per system."""
    kinds: dict[str, Callable[[Sequence[RequestRecord]], list[float]]] = {
        "TTFT, s": latencies.ttft_s,
        "TTST, ms": lambda records: [1e3 * value for value in latencies.ttst_s(records)],
        "TPOT, ms": lambda records: [1e3 * value for value in latencies.tpot_s(records)],
    }
    figure = Figure(figsize=(9, 3.0), layout="constrained")
    columns = figure.subplots(1, len(kinds), sharey=True)
    names = [result.system.name for result in run.results]
    for axes, (label, measure) in zip(columns, kinds.items(), strict=True):
        for result in run.results:
            if values := sorted(measure(result.records)):
                share = np.arange(1, len(values) + 1) / len(values)
                name = result.system.name
                axes.step(values, share, where="post", color=colour(name, names), label=name)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1.02)
    if not any(axes.lines for axes in columns):
        return None
    columns[0].set_ylabel("share of requests")
    figure.legend(*columns[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def ttft_parts(run: Run) -> Figure | None:
    """What mean TTFT is made of, per system."""
    parts = {n: s.ttft_parts_s for n, s in run.summary.systems.items() if s.ttft_parts_s}
    if not parts:
        return None
    figure = Figure(figsize=(8, 1.1 + 0.5 * len(parts)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(parts))
    for part, shade in zip(PARTS, PART_COLOURS, strict=True):
        width = np.array([by_part[part] for by_part in parts.values()])
        axes.barh(list(parts), width, left=left, height=0.62, color=shade, label=part)
        left = left + width
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("mean time to first token, model seconds")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def cnic_use(run: Run) -> Figure | None:
    """Read and write utilisation of each CNIC, with the theory's bound where given."""
    systems = {name: s.cnic for name, s in run.summary.systems.items() if s.cnic}
    if not systems:
        return None
    dual = {r.system.name for r in run.results if r.system.io and r.system.paths == "dual"}
    figure = Figure(figsize=(9, 0.9 + 1.7 * len(systems)), layout="constrained")
    rows = figure.subplots(len(systems), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (system, nodes) in zip(rows, systems.items(), strict=True):
        uses = {(n, g): use for n, gpus in nodes.items() for g, use in gpus.items()}
        places = np.arange(len(uses))
        read = [100 * use.read_utilisation for use in uses.values()]
        write = [100 * use.write_utilisation for use in uses.values()]
        axes.bar(places - 0.2, read, 0.38, color="#0072B2", label="read")
        axes.bar(places + 0.2, write, 0.38, color="#E69F00", label="write")
        for place, (node, _) in zip(places, uses, strict=True):
            if run.theory and system in dual:
                for offset, bound in zip((-0.2, 0.2), run.theory[run.side(node)], strict=True):
                    ends = (place + offset - 0.19, place + offset + 0.19)
                    axes.plot(ends, [100 * bound] * 2, color=INK, lw=1.6, label="theory")
        axes.set_title(system)
        axes.set_ylabel("% of CNIC rate")
        axes.set_xticks(places, [engine_name(node, int(gpu)) for node, gpu in uses])
        axes.tick_params(axis="x", rotation=90 if len(uses) > 12 else 0)
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.6, len(uses) - 0.4)
    legend(*rows)
    return figure


def tokens_in_progress(run: Run) -> Figure | None:
    """Tokens (prompt and generation) of the requests in flight, over time."""
    figure, axes = single(run, height=2.9)
    names = [result.system.name for result in run.results]
    for result in run.results:
        done = [record for record in result.records if record.done_s is not None]
        if done:
            tokens = np.array([record.prompt_tokens + record.gen_tokens for record in done])
            moments = [record.submit_s for record in done] + [record.done_s or 0 for record in done]
            times, order = np.unique(moments, return_inverse=True)
            changes = np.bincount(order, weights=np.concatenate([tokens, -tokens]))
            name = result.system.name
            level = np.cumsum(changes) / 1e3
            axes.step(times, level, where="post", color=colour(name, names), label=name, lw=1.2)
    if not axes.lines:
        return None
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    axes.set_ylabel("thousand tokens in progress")
    legend(axes)
    return figure
