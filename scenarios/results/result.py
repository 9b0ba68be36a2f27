"""What one system's run left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from plan.deployment import System
from plan.faults import AttemptRecord, FaultEvent
from plan.records import BacklogSample, CounterSample, Ending, NodeStats, RequestRecord
from scenarios.results.wire import LinkTraffic


class CpuShares(msgspec.Struct, frozen=True, kw_only=True):
    """Processors used over a time, in cores (CPU seconds per wall second).

    Attributes:
        wall_s: the time, wall seconds.
        switch: all switch daemons together.
        nodes: processes of all nodes together.
        others: everything else on this machine, the kernel's own threads among it.
        busiest_switch: the busiest switch daemon, which forwards in one thread: at 1 it is full.
    """

    wall_s: float
    switch: float
    controller: float
    nodes: float
    others: float
    busiest_switch: float


@dataclass(frozen=True)
class SystemResult:
    """What one system's run left behind, in model units (`wall_s` in wall seconds).

    Attributes:
        drops: packets dropped, by lane.
        complete: False if the run was cut short.
        ending: why it ended, and what is measured of it.
        probes: achieved over nominal rate by NIC, measured before the workload.
        backlog: what waited in the fabric's queues; empty where virtual.
        cpu: processors used while requests were served; None where virtual.
        incidents: what befell the fabric meanwhile, a clause each.
        paused_s: wall seconds in which the fabric stood still although bytes waited.
        captures: links that were recorded.
        faults: what became of faults; attempts: those that came to nothing.
    """

    system: System
    records: Sequence[RequestRecord]
    samples: Sequence[CounterSample]
    node_stats: Sequence[NodeStats]
    drops: Mapping[str, int]
    complete: bool
    ending: Ending
    wall_s: float
    probes: Mapping[str, float] = field(default_factory=dict)
    backlog: Sequence[BacklogSample] = ()
    cpu: CpuShares | None = None
    incidents: Sequence[str] = ()
    paused_s: float = 0.0
    captures: Sequence[LinkTraffic] = ()
    faults: Sequence[FaultEvent] = ()
    attempts: Sequence[AttemptRecord] = ()
