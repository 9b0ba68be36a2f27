"""What is in a trace: a table on standard output, a page, and the same as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from plan.workload import Trajectory, steps
from scenarios.analysis.trace_figures import Spread, TraceFigures
from scenarios.reports.drawing import DECODE, PREFILL
from scenarios.reports.figures import STYLE, Figure, plain_log, style
from scenarios.reports.page import embedded, render
from scenarios.reports.svg import INK
from scenarios.results.readable_json import write_json
from scenarios.workload.generator import TABLE_2

SHOWN_TRAJECTORIES = 300
"""Of which the picture draws a line each."""
_HEADINGS = ("", "mean", "median", "p90", "largest")


class TraceReport(msgspec.Struct, frozen=True, kw_only=True):
    """A trace by its name, and what is in it."""

    name: str
    format: str
    figures: TraceFigures


Rows = list[tuple[str, ...]]


def facts(report: TraceReport) -> Rows:
    """What is said of the trace as a whole, a name and a value each."""
    f = report.figures
    return [
        ("format", report.format),
        ("trajectories, requests", f"{f.trajectories:,}, {f.requests:,}"),
        ("prompt tokens that are hits", f"{f.hit_rate:.1%}"),
        ("with prefixes of others", f"{f.shared_hit_rate:.1%}"),
        ("trajectories with such a prefix", f"{f.sharing:,} ({f.shared_tokens:,} tokens)"),
        ("in common by block ids", f"{f.common_tokens:,}, once {f.common_once_tokens:,} tokens"),
        ("turns from part of the context", f"{f.branches:,}, from nothing {f.resets:,}"),
        ("first to last start", f"{f.starts_s:,.0f} s"),
    ]


def spreads(report: TraceReport) -> Rows:
    """Distributions, a row each."""
    f = report.figures
    named = [(f"{name} of a trajectory", spread) for name, spread in f.trajectory.items()]
    named += [(f"{name} of a request", spread) for name, spread in f.request.items()]
    rows = [(name, *_cells(spread)) for name, spread in named]
    none = ("not recorded", "", "", "")
    rows.append(("gap, s", *(_cells(f.gap_s) if f.gap_s else none)))
    return rows


def beside_the_paper(report: TraceReport) -> Rows:
    """The columns of Table 2: of the trace, and of the paper's rows."""
    own = [("this trace", report.figures.table_2)]
    rows = [*own, *((f"paper, {name}", row) for name, row in TABLE_2.items())]
    return [
        (name, *(f"{value:,.0f}" for value in msgspec.structs.astuple(row))) for name, row in rows
    ]


def _cells(spread: Spread) -> tuple[str, ...]:
    return tuple(_number(value) for value in msgspec.structs.astuple(spread))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


TABLE_2_HEADINGS = ("Table 2", "turns", "append", "gen", "total", "context")


def print_tables(report: TraceReport) -> None:
    """All of it on standard output."""
    console = Console()
    about = Table(show_header=False, title=Text(report.name))
    for row in facts(report):
        about.add_row(*map(Text, row))
    console.print(about)
    for headings, rows in (
        (TABLE_2_HEADINGS, beside_the_paper(report)),
        (_HEADINGS, spreads(report)),
    ):
        table = Table(*headings)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)


def write(report: TraceReport, trajectories: list[Trajectory], out: Path) -> None:
    """Write `trace.json`, `trace.png` and `trace.html`, which needs no other file."""
    write_json(out / "trace.json", report)
    picture = out / "trace.png"
    with style.context(STYLE):
        draw(report.figures, trajectories).savefig(picture)
    page = render(
        "trace.html.j2",
        name=report.name,
        facts=facts(report),
        tables=[
            (TABLE_2_HEADINGS, beside_the_paper(report)),
            (_HEADINGS, spreads(report)),
        ],
        picture=embedded(picture),
    )
    (out / "trace.html").write_text(page, encoding="utf-8")


def draw(figures: TraceFigures, trajectories: list[Trajectory]) -> Figure:
    """Contexts as they grow, lengths and hits over turns, and how gaps are distributed."""
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    (growth, lengths), (hits, gaps) = figure.subplots(2, 2)
    for trajectory in trajectories[:: -(-len(trajectories) // SHOWN_TRAJECTORIES)]:
        contexts = [step.context for step in steps(trajectory)]
        growth.plot(range(1, len(contexts) + 1), contexts, color=INK, linewidth=0.5, alpha=0.25)
    growth.set(title="Contexts as they grow", xlabel="turn", ylabel="tokens")
    turns = [turn.turn for turn in figures.over_turns]
    over = figures.over_turns
    lengths.plot(turns, [turn.append for turn in over], color=PREFILL, label="append")
    lengths.plot(turns, [turn.gen for turn in over], color=DECODE, label="gen")
    lengths.set(title="Mean lengths over turns", xlabel="turn", ylabel="tokens", yscale="log")
    plain_log(lengths.yaxis)
    lengths.legend()
    hits.plot(turns, [turn.hit_rate for turn in over], color=PREFILL, label="tokens that are hits")
    left = [turn.requests / figures.trajectories for turn in over]
    hits.plot(turns, left, color=INK, linestyle="--", label="trajectories that have the turn")
    hits.set(title="Hit rate over turns", xlabel="turn", ylabel="share", ylim=(0, 1.02))
    hits.legend()
    recorded = sorted(turn.gap_s for one in trajectories for turn in one.turns[1:] if turn.gap_s)
    gaps.set(title="Gaps", xlabel="seconds, at most", ylabel="share of those above 0")
    if recorded:
        shares = [(i + 1) / len(recorded) for i in range(len(recorded))]
        gaps.plot(recorded, shares, color=PREFILL)
        gaps.set(xscale="log")
        plain_log(gaps.xaxis)
    else:
        gaps.text(0.5, 0.5, "not recorded", ha="center", transform=gaps.transAxes)
    return figure
