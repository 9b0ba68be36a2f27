"""Is a run to be believed? Measured signs of trouble, and what they add up to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import ceil
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from plan.fabric import Fabric, Nic
from plan.faults import FaultEvent
from plan.names import node_of
from plan.records import LATE_S, MOST_LATE, NodeStats, RequestRecord
from scenarios.results.faults import endings
from scenarios.results.result import CpuShares
from scenarios.results.windows import Series, Windows

Verdict = Literal["believable", "doubtful", "not believable"]

RATE_ERROR = 0.03
"""A rate that is off by more is doubtful, by 10 % not to be believed."""
LATENESS_S = 0.005
LATENESS_SHARE = 0.25
"""Wake-ups may be late by 5 ms or a quarter of a layer group's compute time, the larger of
the two, model seconds at the 99th percentile; by four times that, the run is not believed."""
SWITCH_FULL = 0.9
"""A switch daemon forwards in one thread, which should not be busy for a larger share."""
OTHERS_CORES = 0.5
"""What other programs use beyond this is worth telling where rates or timers are off."""
PAUSED_SHARE = 0.05
"""Of the time that requests were served; a run whose fabric stood still for longer is not
believed."""
AFTERMATH_S = 3.0
"""So long after a declared fault is over, rates are not judged: TCP finds back, nodes return."""
BUSY_SHARE = 0.95
"""A window counts as backlogged if the node's read slots are taken for that share of it."""


class Fidelity(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one system's run, and what it rests on.

    Attributes:
        reasons: one sentence for each sign of trouble; empty if believable.
        timer_lateness_p99_s: worst node's wake-up lateness where nothing was broken, model seconds;
            None if virtual.
        timer_lateness_limit_s: what is tolerated, model seconds.
        rate_error: how far saturated NICs were off their rate, as a fraction; None if no
            NIC was ever seen saturated.
        probe_error: the same for the probes before the workload; None if not probed.
        cpu: processors used while requests were served; None if virtual.
        incidents: what befell the fabric meanwhile, a clause each.
        paused_s: wall seconds in which the fabric stood still although bytes waited.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    complete: bool
    failed: int
    drops: int
    retransmits: int
    blocks_verified: int
    blocks_corrupt: int
    timer_lateness_p99_s: float | None
    timer_lateness_limit_s: float
    rate_error: float | None
    probe_error: float | None
    cpu: CpuShares | None = None
    incidents: tuple[str, ...] = ()
    paused_s: float = 0.0


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What `judge` looks at; the fields are those of `Fidelity`.

    Attributes:
        packets: full-sized packets that the run's bytes make, counted at every egress.
        loads_kv: False for the Oracle, which has no block to verify.
        broken: faults were declared: requests may fail, and segments get lost.
    """

    complete: bool
    failed: int
    requests: int
    drops: int
    retransmits: int
    packets: float
    blocks_verified: int
    blocks_corrupt: int
    loads_kv: bool
    broken: bool = False
    timer_lateness_p99_s: float | None
    timer_lateness_limit_s: float
    rate_error: float | None
    probe_error: float | None
    cpu: CpuShares | None = None
    incidents: tuple[str, ...] = ()
    paused_s: float = 0.0


def judge(signs: Signs) -> Fidelity:
    """Weigh the signs: one fatal sign makes a run not believable, a milder one doubtful."""
    found = [*_work(signs), *_losses(signs), *_speed(signs), *_fabric(signs)]
    fatal = any(is_fatal for is_fatal, _ in found)
    verdict: Verdict = "not believable" if fatal else "doubtful" if found else "believable"
    own = {field.name for field in msgspec.structs.fields(Fidelity)}
    shared = {name: value for name, value in msgspec.structs.asdict(signs).items() if name in own}
    return Fidelity(verdict=verdict, reasons=tuple(text for _, text in found), **shared)


Sign = tuple[bool, str]
"""Whether it is fatal, and the sentence."""


def _work(signs: Signs) -> list[Sign]:
    found = []
    if not signs.complete:
        found.append((True, "the run ended before all requests were served"))
    if signs.failed and not signs.broken:
        found.append((True, f"{signs.failed} of {signs.requests} requests failed"))
    if signs.blocks_corrupt:
        found.append((True, f"{signs.blocks_corrupt} blocks did not hold what was stored"))
    if signs.loads_kv and not signs.blocks_verified:
        found.append((False, "no block was verified where it was consumed"))
    return found


def _losses(signs: Signs) -> list[Sign]:
    counts = {"packets were dropped": signs.drops}
    if not signs.broken:
        counts["segments were sent again"] = signs.retransmits
    return [
        (count > signs.packets / 1000, f"{count} {what}; this fabric should lose nothing")
        for what, count in counts.items()
        if count
    ]


def _speed(signs: Signs) -> list[Sign]:
    found = [*_rates(signs), *_timing(signs)]
    if found and signs.cpu is not None and signs.cpu.others > OTHERS_CORES:
        found.append((False, f"meanwhile other programs used {signs.cpu.others:.1f} cores"))
    return found


def _rates(signs: Signs) -> list[Sign]:
    errors = {
        "saturated NICs were off their rate by": signs.rate_error,
        "probed before the workload, a NIC was off its rate by": signs.probe_error,
    }
    return [
        (error > 0.1, f"{what} {error:.1%} (tolerated: {RATE_ERROR:.0%})")
        for what, error in errors.items()
        if error is not None and error > RATE_ERROR
    ]


def _timing(signs: Signs) -> list[Sign]:
    late, limit = signs.timer_lateness_p99_s, signs.timer_lateness_limit_s
    if late is None or late <= limit:
        return []
    text = f"timers fired {late * 1e3:.1f} ms late at the 99th percentile"
    return [(late > 4 * limit, f"{text} (tolerated: {limit * 1e3:.1f} ms of model time)")]


def _fabric(signs: Signs) -> list[Sign]:
    found = [(False, f"{incident} while requests were served") for incident in signs.incidents]
    if signs.paused_s and signs.cpu is not None:
        part = signs.paused_s / signs.cpu.wall_s
        text = f"the fabric stood still for {signs.paused_s:.1f} s although bytes waited"
        found.append((part > PAUSED_SHARE, f"{text}, {part:.1%} of the time"))
    if signs.cpu is not None and signs.cpu.busiest_switch > SWITCH_FULL:
        share = f"{signs.cpu.busiest_switch:.0%} of the one core it can use"
        found.append((False, f"the switch was busy for {share}: more dilation would relieve it"))
    return found


def fault_spans(faults: Sequence[FaultEvent]) -> list[tuple[float, float]]:
    """When something was broken, or had been until a moment ago, model seconds.

    What spoils blocks is over at once: they are read as fast as others, and refused only then.
    """
    ends = (
        (fault, fault.t_s if fault.kind == "corrupt" else end) for fault, end in endings(faults)
    )
    return [(fault.t_s, np.inf if end is None else end + AFTERMATH_S) for fault, end in ends]


def lateness_p99_s(stats: NodeStats, broken_s: Sequence[tuple[float, float]] = ()) -> float | None:
    """How late the 99th percentile of a node's wake-ups was, model seconds; None of none.

    Args:
        broken_s: spans that are left out; when what was not much too late was due is not kept.
    """
    if stats.lateness_s is None:
        return None
    others = sorted(late_s for due_s, late_s in stats.late if not _inside(due_s, broken_s))
    excused = len(stats.late) - len(others)
    if not excused or len(stats.late) >= MOST_LATE:
        return stats.lateness_s[1]
    left = stats.alarms - excused
    later = left - ceil(0.99 * left)
    if later < len(others):
        return others[-1 - later]
    return min(stats.lateness_s[1], LATE_S)


def _inside(t_s: float, spans: Sequence[tuple[float, float]]) -> bool:
    return any(from_s <= t_s < to_s for from_s, to_s in spans)


def rate_error(
    fabric: Fabric,
    windows: Windows,
    records: Sequence[RequestRecord],
    slots: int,
    broken_s: Sequence[tuple[float, float]] = (),
    read_bps: float = math.inf,
) -> float | None:
    """How far NICs that had to be full were from their rate, as a fraction.

    Shortfall: while all `slots` of a node's disk reads are taken, its SNIC, or else a storage
    host's or a link of the storage plane, has to be full; the worst node's median shortfall
    counts. A window counts if those beside it are backlogged, too: where a busy spell begins
    and ends, readings of counters twice a second blur. Excess: the 99th percentile of any
    NIC's use in either direction, above 1. None if no node was ever backlogged for so long.

    Args:
        broken_s: spans that are left out.
        read_bps: what storage delivers of one read; an SNIC that all reads together do not fill
            has to carry as much as they are.
    """
    elsewhere = _storage_plane_use(fabric, windows)
    shortfalls = []
    for snic in fabric.engine_snics:
        busy = slots_taken(windows.edges_s, records, snic.node) >= BUSY_SHARE * slots
        for start_s, end_s in broken_s:
            busy &= (windows.edges_s[1:] <= start_s) | (windows.edges_s[:-1] >= end_s)
        backlogged = _inner(busy)
        if backlogged.any():
            use = windows.read[snic.name] / min(snic.rate_bps, slots * read_bps)
            full = np.max([use, *elsewhere], axis=0)[backlogged]
            shortfalls.append(abs(1 - float(np.median(full))))
    return max(max(shortfalls), _excess(fabric.nics, windows)) if shortfalls else None


def slots_taken(edges_s: Series, records: Sequence[RequestRecord], node: str) -> Series:
    """Mean number of requests that the node was reading from storage, in each window."""
    spans = [
        (record.read_start_s, record.read_end_s)
        for record in records
        if record.read_start_s is not None
        and record.read_end_s is not None
        and reading_node(record) == node
    ]
    taken = np.zeros(len(edges_s))
    for start, end in spans:
        taken += np.clip(edges_s, start, end)
    mean: Series = np.diff(taken) / np.diff(edges_s)
    return mean


def _inner(busy: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Windows that are busy between busy ones."""
    padded = np.concatenate(([False], busy, [False]))
    return busy & padded[:-2] & padded[2:]


def reading_node(record: RequestRecord) -> str | None:
    """The node whose SNIC read the request's KV-Cache."""
    engine = record.pe if record.path == "pe" else record.de
    return node_of(engine) if engine else None


def _storage_plane_use(fabric: Fabric, windows: Windows) -> list[Series]:
    hosts = {node.name for node in fabric.nodes_of("storage")}
    uses = [
        windows.written[nic.name] / nic.rate_bps
        for nic in fabric.nics
        if nic.node in hosts and nic.kind == "snic"
    ]
    uses += [
        windows.links[direction] / link.rate_bps
        for link in fabric.links
        if any(link.plane == nic.plane for nic in fabric.nics if nic.kind == "snic")
        for direction in link.directions
    ]
    return uses


def _excess(nics: Sequence[Nic], windows: Windows) -> float:
    uses = [
        np.percentile(series[nic.name] / nic.rate_bps, 99)
        for nic in nics
        for series in (windows.read, windows.written)
    ]
    return max(0.0, float(max(uses)) - 1)
