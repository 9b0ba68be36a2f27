"""The report of a run: `summary.json`, pictures, and one HTML page that holds everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from plan.fabric import SIDES
from plan.model import Plan
from scenarios.analysis import theory
from scenarios.configuration.loading import resolved_yaml
from scenarios.configuration.schema import Cluster, Scenario
from scenarios.configuration.systems import BASELINE, title
from scenarios.reports import fault_report, gallery, interactive, sections, wire_report
from scenarios.reports.drawing import CnicTheory, Picture, Run
from scenarios.reports.fabric_map import fabric_map
from scenarios.reports.headline import headline
from scenarios.reports.page import ABSENT, embedded, number, render
from scenarios.reports.ways import ways
from scenarios.results.metrics import summarise
from scenarios.results.provenance import Provenance
from scenarios.results.readable_json import write_json
from scenarios.results.result import CpuShares, SystemResult
from scenarios.results.summary import Distribution, Summary, SystemSummary
from scenarios.results.working_set import WorkingSet

TEMPLATE = "report.html.j2"
CPU_USERS: dict[str, Callable[[CpuShares], float]] = {
    "the switch": lambda cpu: cpu.switch,
    "the controller": lambda cpu: cpu.controller,
    "nodes": lambda cpu: cpu.nodes,
    "others": lambda cpu: cpu.others,
}

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A line of the table of figures: its label and one cell per system."""

    label: str
    cells: list[str]
    heading: bool = False


def write_report(
    out_dir: Path,
    scenario: Scenario,
    plan: Plan,
    results: Sequence[SystemResult],
    provenance: Provenance,
    warnings: Sequence[str] = (),
    error: str | None = None,
) -> Summary:
    """Write `summary.json`, `plots/*.svg` and `report.html`, which needs no other file.

    Args:
        results: of the systems that were served.
        warnings: what the user has to know of how the plan came about.
        error: what ended the run early.

    Raises:
        PluginError: a section of a plug-in failed; the page says so in its place.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    served = {result.system.name for result in results}
    summary = msgspec.structs.replace(
        summarise(plan, results, scenario.slo),
        unserved=tuple(s.name for s in scenario.compared if s.name not in served),
        error=error,
    )
    write_json(out_dir / "summary.json", summary)
    run = gallery.run_of(plan, results, summary, cnic_theory(scenario.cluster))
    pictures = gallery.draw(out_dir / "plots", run)
    own = {name: plan.plugins[name] for name in scenario.report.sections}
    written = sections.write(out_dir / "plots", own, plan, results, summary)
    page = render(
        TEMPLATE,
        scenario=scenario,
        resolved=resolved_yaml(scenario),
        headline=headline(plan, [result.system for result in results], summary),
        systems={title(name): figures for name, figures in summary.systems.items()},
        error=error,
        incomplete=[title(r.system.name) for r in results if not r.complete],
        unserved=[title(name) for name in summary.unserved],
        unbelieved=[
            title(name)
            for name, figures in summary.systems.items()
            if figures.fidelity.verdict == "not believable"
        ],
        warnings=warnings,
        pictures=[
            (picture, picture.narrow and (embedded(picture.path), embedded(picture.narrow)))
            for picture in pictures
        ],
        data=interactive.data(parts(run, pictures)),
        wires=[
            (section, embedded(section.picture.path))
            for section in wire_report.sections(out_dir / "plots", results)
        ],
        wire_heads=(wire_report.CLASS_HEADS, wire_report.LANE_HEADS),
        rows=table(summary),
        sections=[*fault_report.sections(plan, results), *written],
        provenance=msgspec.structs.asdict(provenance),
    )
    (out_dir / "report.html").write_text(page, encoding="utf-8")
    for section in written:
        if section.error is not None:
            raise section.error
    return summary


def parts(run: Run, pictures: Sequence[Picture]) -> dict[str, Any]:
    """What the page draws by itself."""
    return {
        "charts": {p.path.stem: interactive.of_chart(p.chart) for p in pictures if p.chart},
        "fabric": fabric_map(run),
        "requests": ways(run),
    }


def cnic_theory(cluster: Cluster) -> CnicTheory:
    """Predicted CNIC (read, write) use with all SNICs full (paper section 2)."""
    cnic_bytes_per_s = cluster.engine_cnic_bps / 8
    loads = {
        load.resource: load.utilisation
        for load in theory.predict(
            cluster.prefill,
            cluster.decode,
            cluster.engines_per_node,
            cluster.node_snic_bps / cluster.engine_cnic_bps,
            cnic_bytes_per_s,
            cluster.node_dram_bytes_per_s,
        )
    }
    return {
        "prefill": (loads["PE CNIC read"], loads["PE CNIC write"]),
        "decode": (loads["DE CNIC read"], loads["DE CNIC write"]),
    }


def table(summary: Summary) -> list[Row]:
    """All figures side by side, one column per system in the summary's order.

    Of lanes and expert parallelism, rows without a figure are left out.
    """
    systems = summary.systems
    speedups = [summary.speedup_over_basic.get(name) for name in systems]
    every = list(systems.values())
    return [
        Row("Completion", ["" for _ in every], heading=True),
        Row("JCT, s", [number(s.jct_s) for s in every]),
        Row(f"speed-up over {title(BASELINE)}", [f"{x:.2f}x" if x else ABSENT for x in speedups]),
        *_spread("JCT of an agent, s", [s.agent_jct_s for s in every], 1),
        Row("Latency", ["" for _ in every], heading=True),
        *_spread("TTFT, s", [s.ttft_s for s in every], 1),
        *_spread("TTST, ms", [s.ttst_s for s in every], 1e3),
        *_spread("TPOT, ms", [s.tpot_s for s in every], 1e3),
        *_service_rows(every),
        Row("Work", ["" for _ in every], heading=True),
        Row("requests done", [f"{s.completed} of {s.requests}" for s in every]),
        *_ending_rows(every),
        Row("prompt tokens", [f"{s.prompt_tokens:,}" for s in every]),
        Row("of them hits", [_share(s.hit_tokens, s.prompt_tokens) for s in every]),
        *_pool_rows(every),
        Row("generated tokens", [f"{s.generated_tokens:,}" for s in every]),
        Row("Storage NICs", ["" for _ in every], heading=True),
        *_snic_rows(every),
        Row("fullest over average", [number(s.snic_max_over_avg) for s in every]),
        *_headed("Lanes", _lane_rows(every)),
        *_headed("Expert parallelism", _expert_rows(every)),
        Row("Fidelity", ["" for _ in every], heading=True),
        *_fidelity_rows(every),
    ]


def _service_rows(systems: Sequence[SystemSummary]) -> list[Row]:
    judged, sets = [s.service for s in systems], [s.working_set for s in systems]
    rest = ["still rising" if s.ttft_rising else ABSENT for s in systems]
    return [
        *_headed(
            "Service",
            [
                Row("SLO", [ABSENT if s is None else "met" if s.met else "missed" for s in judged]),
                *([Row("TTFT at the end", rest)] if any(s.ttft_rising for s in systems) else []),
                Row("requests within TTFT, %", _each(judged, lambda s: 100 * s.ttft_share)),
                Row("requests within TPOT, %", _each(judged, lambda s: 100 * s.tpot_share)),
                Row("requests within both, %", _each(judged, lambda s: 100 * s.share)),
                Row("goodput, requests/s", _each(judged, lambda s: s.requests_per_s)),
                Row("goodput, generated tokens/s", _each(judged, lambda s: s.tokens_per_s)),
            ],
        ),
        *_headed(
            "Working set",
            [
                Row("agents alive, mean", _each(sets, lambda s: s.agents)),
                Row(
                    "KV-Cache of agents alive, GB · mean", _each(sets, lambda s: s.mean_bytes / 1e9)
                ),
                Row(
                    "KV-Cache of agents alive, GB · most",
                    _each(sets, lambda s: s.largest_bytes / 1e9),
                ),
                Row("the paper's formula, GB", [number(_gb(s)) for s in sets]),
            ],
        ),
    ]


def _gb(found: WorkingSet | None) -> float | None:
    return found.formula_bytes / 1e9 if found and found.formula_bytes is not None else None


def _ending_rows(systems: Sequence[SystemSummary]) -> list[Row]:
    """What was left out of the figures, where anything was."""
    ends = [figures.ending for figures in systems]
    if all(end is None or (end.ended_by == "all served" and not end.from_s) for end in ends):
        return []
    return [
        Row("ended by", [ABSENT if end is None else end.ended_by for end in ends]),
        Row("measured from, s", _each(ends, lambda end: end.from_s)),
        Row("measured to, s", _each(ends, lambda end: end.to_s)),
        Row("requests measured", [str(figures.measured) for figures in systems]),
        Row("requests under way at the end", _each(ends, lambda end: end.under_way)),
        Row("agents that came", _each(ends, lambda end: end.agents)),
        Row("agents whose last turn was done", _each(ends, lambda end: end.agents_done)),
    ]


def _headed(heading: str, rows: list[Row]) -> list[Row]:
    """The rows that hold a figure under their heading; nothing if there are none."""
    told = [row for row in rows if any(cell != ABSENT for cell in row.cells)]
    return [Row(heading, [""] * len(told[0].cells), heading=True), *told] if told else []


def _spread(label: str, values: Sequence[Distribution | None], unit: float) -> list[Row]:
    return [
        Row(
            f"{label} · {name}",
            [number(None if value is None else getattr(value, name) * unit) for value in values],
        )
        for name in ("mean", "p50", "p90", "p99")
    ]


def _snic_rows(systems: Sequence[SystemSummary]) -> list[Row]:
    nodes = dict.fromkeys(node for figures in systems for node in figures.snic)
    return [
        Row(
            f"{node} read use",
            [f"{s.snic[node].utilisation:.1%}" if node in s.snic else ABSENT for s in systems],
        )
        for node in nodes
    ]


def _pool_rows(systems: Sequence[SystemSummary]) -> list[Row]:
    if not any(figures.pool_tokens for figures in systems):
        return []
    return [Row("hits from DRAM pools", [_share(s.pool_tokens, s.hit_tokens) for s in systems])]


def _lane_rows(systems: Sequence[SystemSummary]) -> list[Row]:
    names = dict.fromkeys(name for figures in systems for name in figures.lanes)
    rows = []
    for name in names:
        uses = [figures.lanes.get(name) for figures in systems]
        waiting = [use.backlog if use else None for use in uses]
        rows += [
            Row(f"{name} · GB over all egresses", _each(uses, lambda use: use.bytes / 1e9)),
            Row(f"{name} · packets dropped", _each(uses, lambda use: use.drops)),
            Row(f"{name} · MB waiting, mean", _each(waiting, lambda b: b.mean_bytes / 1e6)),
            Row(f"{name} · MB waiting, most", _each(waiting, lambda b: b.largest_bytes / 1e6)),
        ]
    return rows


def _expert_rows(systems: Sequence[SystemSummary]) -> list[Row]:
    ratios = [s.attention_max_over_avg for s in systems]
    first = [s.attention_max_over_avg_first for s in systems]
    bubbles = {side: [_percent(s.bubble_share.get(side)) for s in systems] for side in SIDES}
    taken = [figures.collectives for figures in systems]
    return [
        Row("attention, longest over average", [number(ratio) for ratio in ratios]),
        Row("the same, first 5 % of the run", [number(ratio) for ratio in first]),
        Row("engines in a forward, mean", [number(s.forward_engines) for s in systems]),
        *(Row(f"waiting at the barrier, {side}", cells) for side, cells in bubbles.items()),
        Row("collectives", _each(taken, lambda c: c.count)),
        Row("in collectives, engine-s", _each(taken, lambda c: c.total_s)),
        Row("their bytes at CNIC rate, engine-s", _each(taken, lambda c: c.wire_s)),
        Row("delay of a collective, us", _each(taken, lambda c: 1e6 * c.delay_s)),
        Row("a collective, ms · mean", _each(taken, lambda c: 1e3 * c.mean_s)),
        Row("a collective, ms · p50", _each(taken, lambda c: 1e3 * c.p50_s)),
        Row("a collective, ms · p99", _each(taken, lambda c: 1e3 * c.p99_s)),
    ]


def _each(values: Sequence[T | None], figure: Callable[[T], float]) -> list[str]:
    return [ABSENT if value is None else number(figure(value)) for value in values]


def _fidelity_rows(systems: Sequence[SystemSummary]) -> list[Row]:
    judged = [figures.fidelity for figures in systems]
    late = [f.timer_lateness_p99_s for f in judged]
    cpus = [f.cpu for f in judged]
    return [
        Row("blocks verified", [f"{f.blocks_verified:,}" for f in judged]),
        Row("blocks corrupt", [f"{f.blocks_corrupt:,}" for f in judged]),
        Row("packets dropped", [f"{f.drops:,}" for f in judged]),
        Row("segments sent again", [f"{f.retransmits:,}" for f in judged]),
        Row("rate error", [_percent(f.rate_error) for f in judged]),
        Row("probe error", [_percent(f.probe_error) for f in judged]),
        Row("timers late, p99, ms", [number(None if x is None else 1e3 * x) for x in late]),
        Row("fabric stood still, s", [number(f.paused_s) for f in judged]),
        *(Row(f"cores used by {who}", _each(cpus, of)) for who, of in CPU_USERS.items()),
        Row("requests a CPU second of the scheduler", [number(_scheduled(s)) for s in systems]),
        Row("wall time, s", [number(figures.wall_s) for figures in systems]),
    ]


def _scheduled(figures: SystemSummary) -> float | None:
    return figures.completed / figures.scheduler_cpu_s if figures.scheduler_cpu_s else None


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.1%}"


def _share(part: float, whole: float) -> str:
    return _percent(part / whole if whole else None)
