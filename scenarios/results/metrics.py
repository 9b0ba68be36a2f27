"""From what a run measured to what is reported of it: `summary.json`, in model units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plan.fabric import Nic
from plan.model import Plan
from plan.records import CounterSample, NodeStats, RequestRecord
from scenarios.configuration.schema import Slo
from scenarios.configuration.systems import BASELINE
from scenarios.results import congestion, fidelity, windows
from scenarios.results.fidelity import Signs
from scenarios.results.latencies import tpot_s, ttft_parts, ttft_s, ttst_s
from scenarios.results.measured import measured
from scenarios.results.rest import rising
from scenarios.results.result import SystemResult
from scenarios.results.samples import at
from scenarios.results.service import service
from scenarios.results.summary import (
    CnicUse,
    Distribution,
    DramUse,
    LaneUse,
    SnicUse,
    SteadyUse,
    Summary,
    SystemSummary,
)
from scenarios.results.windows import Series, Windows
from scenarios.results.working_set import working_set

PAPERS = Slo()
"""The paper's SLO."""
WHOLE = ("all served", "broken off")
"""Endings of runs that were to serve all requests: these have a JCT."""
BUSY = 0.1
"""SNIC balance is taken over windows in which the SNICs are used to that share on average."""


def summarise(plan: Plan, results: Sequence[SystemResult], slo: Slo = PAPERS) -> Summary:
    """Reduce the results of all systems that served the same plan, and judge them by an SLO."""
    systems = {result.system.name: summarise_system(plan, result, slo) for result in results}
    finished = {
        result.system.name: jct_s
        for result in results
        if result.complete and (jct_s := systems[result.system.name].jct_s)
    }
    base_s = finished.get(BASELINE)
    speedups = {name: base_s / jct_s for name, jct_s in finished.items()} if base_s else {}
    return Summary(systems=systems, speedup_over_basic=speedups)


def summarise_system(plan: Plan, result: SystemResult, slo: Slo = PAPERS) -> SystemSummary:
    """Reduce one system's result."""
    seen = measured(plan, result)
    done = seen.done
    served = [record for record in result.records if record.done_s is not None and not record.error]
    jct_s = _span_s(served) if result.ending.ended_by in WHOLE else None
    run_s = result.ending.to_s if jct_s is None else jct_s
    cut = windows_of(plan, result)
    engine_nodes = {node.name for node in plan.fabric.engine_nodes}
    nics = [nic for nic in plan.fabric.nics if nic.node in engine_nodes]
    use = _use(result, jct_s)
    forwards = congestion.forwards(result.node_stats)
    first_s = congestion.FIRST * run_s
    return SystemSummary(
        requests=len(result.records),
        completed=len(served),
        failed=sum(record.error is not None for record in result.records),
        ending=result.ending,
        measured=len(done),
        jct_s=jct_s,
        agent_jct_s=distribution(seen.jcts_s),
        ttft_s=distribution(ttft_s(done)),
        ttst_s=distribution(ttst_s(done)),
        tpot_s=distribution(tpot_s(done)),
        ttft_parts_s=ttft_parts(done),
        service=service(slo, seen, beyond=_beyond(plan, result, slo)),
        ttft_rising=rising(result.records, plan.end.warmup_s if plan.end else 0.0, result.ending),
        working_set=working_set(plan, seen),
        prompt_tokens=sum(record.prompt_tokens for record in done),
        generated_tokens=sum(record.gen_tokens for record in done),
        hit_tokens=sum(record.hit_tokens for record in done),
        pool_tokens=sum(record.pool_tokens for record in done),
        snic=use.snics(nics) if use.known else {},
        snic_max_over_avg=_mean_balance(cut, plan.fabric.engine_snics),
        cnic=use.cnics(nics) if use.known else {},
        lanes=_lanes(result),
        attention_max_over_avg=congestion.attention_max_over_avg(forwards),
        attention_max_over_avg_first=congestion.attention_max_over_avg(
            forward for forward in forwards if forward.t_s <= first_s
        ),
        forward_engines=congestion.engines_a_forward(forwards),
        bubble_share=congestion.bubble_share(plan, result.node_stats, run_s),
        collectives=congestion.collectives(result.node_stats),
        retransmits=sum(stats.retransmits for stats in result.node_stats),
        blocks_verified=sum(stats.blocks_verified for stats in result.node_stats),
        blocks_corrupt=sum(stats.blocks_corrupt for stats in result.node_stats),
        wall_s=result.wall_s,
        fidelity=fidelity.judge(_signs(plan, result, cut)),
        dram=_drams(plan, result.node_stats, run_s),
        scheduler_cpu_s=_scheduler_cpu_s(plan, result.node_stats),
        steady=_steady(result, served, nics),
    )


def windows_of(plan: Plan, result: SystemResult) -> Windows | None:
    """A run in windows up to its last request's end; None where there is not one whole window."""
    ends = [record.done_s for record in result.records if record.done_s is not None]
    return windows.cut(result.samples, plan.fabric, max(ends, default=float("inf")))


def distribution(values: Sequence[float]) -> Distribution | None:
    """Mean and percentiles; None for no values."""
    if not values:
        return None
    p50, p90, p99 = np.percentile(values, [50, 90, 99]).tolist()
    return Distribution(count=len(values), mean=float(np.mean(values)), p50=p50, p90=p90, p99=p99)


def balance(cut: Windows, snics: Sequence[Nic]) -> Series:
    """Largest over average SNIC read rate in each window; NaN where they are not busy.

    Paper section 7, Fig 13. 1 is perfect balance, the number of SNICs the worst.
    """
    reads = np.stack([cut.read[nic.name] for nic in snics])
    average = reads.mean(axis=0)
    busy = average >= BUSY * np.mean([nic.rate_bps for nic in snics])
    ratio: Series = np.full(len(average), np.nan)
    ratio[busy] = reads.max(axis=0)[busy] / average[busy]
    return ratio


def _mean_balance(cut: Windows | None, snics: Sequence[Nic]) -> float | None:
    if cut is None or not snics:
        return None
    ratio = balance(cut, snics)
    return float(np.nanmean(ratio)) if np.isfinite(ratio).any() else None


def _span_s(done: Sequence[RequestRecord]) -> float | None:
    if not done:
        return None
    start = min(record.submit_s for record in done)
    return max(record.done_s for record in done if record.done_s is not None) - start


def _steady(
    result: SystemResult, done: Sequence[RequestRecord], nics: Sequence[Nic]
) -> SteadyUse | None:
    ends: dict[int, list[float]] = {}
    for record in done:
        if record.done_s is not None:
            ends.setdefault(record.agent, []).append(record.done_s)
    if not result.complete or not ends or not result.samples:
        return None
    start_s = max(min(moments) for moments in ends.values())
    end_s = min(min(max(moments) for moments in ends.values()), result.samples[-1].t_s)
    if not result.samples[0].t_s <= start_s < end_s:
        return None
    use = _Use([at(result.samples, moment) for moment in (start_s, end_s)], end_s - start_s)
    return SteadyUse(start_s=start_s, end_s=end_s, snic=use.snics(nics), cnic=use.cnics(nics))


def _use(result: SystemResult, jct_s: float | None) -> _Use:
    """NICs over the whole run, or over what is measured of it."""
    from_s, to_s = result.ending.from_s, result.ending.to_s
    samples = result.samples
    if not samples or (jct_s is not None and not from_s):
        return _Use(samples, jct_s)
    inside = [min(max(t_s, samples[0].t_s), samples[-1].t_s) for t_s in (from_s, to_s)]
    return _Use([at(samples, t_s) for t_s in inside], inside[1] - inside[0])


@dataclass(frozen=True)
class _Use:
    """NICs from the first of the samples to the last, as shares of so many seconds."""

    samples: Sequence[CounterSample]
    span_s: float | None

    @property
    def known(self) -> bool:
        return len(self.samples) >= 2 and bool(self.span_s)

    def snics(self, nics: Sequence[Nic]) -> dict[str, SnicUse]:
        return {nic.node: self._snic(nic) for nic in nics if nic.kind == "snic"}

    def cnics(self, nics: Sequence[Nic]) -> dict[str, dict[str, CnicUse]]:
        by_node: dict[str, dict[str, CnicUse]] = {}
        for nic in nics:
            if nic.gpu is not None:
                by_node.setdefault(nic.node, {})[str(nic.gpu)] = self._cnic(nic)
        return by_node

    def _bytes(self, nic: Nic) -> tuple[float, float]:
        (out0, in0), (out1, in1) = (self.samples[i].nics[nic.name] for i in (0, -1))
        return out1 - out0, in1 - in0

    def _share(self, nic: Nic, size_bytes: float) -> float:
        return size_bytes * 8 / (nic.rate_bps * (self.span_s or float("inf")))

    def _snic(self, nic: Nic) -> SnicUse:
        out, into = self._bytes(nic)
        return SnicUse(
            rate_bps=nic.rate_bps,
            read_bytes=into,
            write_bytes=out,
            utilisation=self._share(nic, into),
            write_utilisation=self._share(nic, out),
        )

    def _cnic(self, nic: Nic) -> CnicUse:
        out, into = self._bytes(nic)
        return CnicUse(
            rate_bps=nic.rate_bps,
            read_bytes=out,
            write_bytes=into,
            read_utilisation=self._share(nic, out),
            write_utilisation=self._share(nic, into),
        )


def _drams(plan: Plan, stats: Sequence[NodeStats], run_s: float) -> dict[str, DramUse]:
    rate = plan.dram_bytes_per_s
    engine_nodes = {node.name for node in plan.fabric.engine_nodes}
    return {
        node.node: DramUse(
            rate_bytes_per_s=rate,
            moved_bytes=node.dram_bytes,
            utilisation=node.dram_bytes / (rate * run_s) if run_s else None,
        )
        for node in stats
        if node.node in engine_nodes
    }


def _beyond(plan: Plan, result: SystemResult, slo: Slo) -> bool:
    """Whether the run ended because mean TTFT was beyond a bound not below the SLO's."""
    bound_s = plan.end.ttft_beyond_s if plan.end else None
    return result.ending.ended_by == "ttft_beyond" and (bound_s or 0.0) >= slo.ttft


def _scheduler_cpu_s(plan: Plan, stats: Sequence[NodeStats]) -> float | None:
    names = {node.name for node in plan.fabric.nodes_of("scheduler")}
    spent = [node.cpu_s for node in stats if node.node in names and node.cpu_s is not None]
    return sum(spent) if spent else None


def _lanes(result: SystemResult) -> dict[str, LaneUse]:
    if not result.samples:
        return {}
    first, last = result.samples[0].lanes, result.samples[-1].lanes
    backlog = congestion.backlog(result.backlog, last)
    return {
        name: LaneUse(
            bytes=last[name][0] - first[name][0],
            drops=result.drops.get(name, 0),
            backlog=backlog.get(name),
        )
        for name in last
    }


def _signs(plan: Plan, result: SystemResult, cut: Windows | None) -> Signs:
    stats = result.node_stats
    broken_s = fidelity.fault_spans(result.faults)
    excused_s = (*broken_s, (result.ending.to_s, float("inf")))
    lateness = [
        late_s for node in stats if (late_s := fidelity.lateness_p99_s(node, excused_s)) is not None
    ]
    slots = plan.constants.reads_in_flight
    read_bps = math.inf if plan.read_bytes_per_s is None else 8 * plan.read_bytes_per_s
    lane_bytes = sum(lane.bytes for lane in _lanes(result).values())
    return Signs(
        complete=result.complete,
        failed=sum(record.error is not None for record in result.records),
        requests=len(result.records),
        drops=sum(result.drops.values()),
        retransmits=sum(node.retransmits for node in stats),
        packets=plan.scale.wire_bytes(lane_bytes) / plan.fabric.mtu,
        blocks_verified=sum(node.blocks_verified for node in stats),
        blocks_corrupt=sum(node.blocks_corrupt for node in stats),
        broken=bool(plan.faults),
        loads_kv=result.system.io and any(record.hit_tokens for record in result.records),
        timer_lateness_p99_s=max(lateness, default=None),
        timer_lateness_limit_s=_lateness_limit_s(plan, result.records),
        rate_error=(
            None
            if cut is None
            else fidelity.rate_error(plan.fabric, cut, result.records, slots, broken_s, read_bps)
        ),
        probe_error=max((abs(1 - ratio) for ratio in result.probes.values()), default=None),
        cpu=result.cpu,
        paused_s=result.paused_s,
        incidents=(*result.incidents, *(text for c in result.captures for text in c.problems)),
    )


def _lateness_limit_s(plan: Plan, records: Sequence[RequestRecord]) -> float:
    if not records:
        return fidelity.LATENESS_S
    computed = np.mean([record.prompt_tokens - record.hit_tokens for record in records])
    group_s = float(computed) * plan.model.linear_flops / plan.gpu.flops / plan.layout.groups
    return max(fidelity.LATENESS_S, fidelity.LATENESS_SHARE * group_s)
