"""A whole run in virtual time whose records and counters are kept."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.virtual_run import simulate as run_in_virtual_time
from plan.deployment import System
from plan.model import Plan
from plan.records import CounterSample, NodeStats, RequestRecord


@dataclass(frozen=True)
class Simulated:
    """What a run told: records in the order in which requests were done, counters every
    `sample_s` and at the end."""

    records: list[RequestRecord]
    samples: list[CounterSample]
    stats: list[NodeStats]


def simulate(plan: Plan, system: System, sample_s: float) -> Simulated:
    """Serve the plan's trajectories to the end."""
    records: list[RequestRecord] = []
    samples: list[CounterSample] = []
    run = run_in_virtual_time(plan, system, sample_s, records.append, samples.append)
    assert run.complete
    return Simulated(records, [*samples, run.last], run.stats)
