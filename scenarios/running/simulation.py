"""The simulated run: the same plan, served by the same node code in virtual time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nodes.virtual_run import simulate
from plan.deployment import System
from plan.faults import AttemptRecord, FaultEvent
from plan.model import Plan
from plan.records import CounterSample, RequestRecord
from scenarios.results.record_files import (
    RecordFile,
    attempts_path,
    counters_path,
    faults_path,
    read,
    requests_path,
)
from scenarios.results.result import SystemResult
from scenarios.running.fault_records import kept
from scenarios.running.journal import Journal
from scenarios.running.snic_watch import SnicWatch

YOUNG_OBJECTS = 500_000
"""New objects between two rounds of the garbage collector."""

Progress = Callable[[int, Mapping[str, float], float], None]


def serve(
    plan: Plan,
    system: System,
    sample_s: float,
    directory: Path,
    journal: Journal,
    progress: Progress,
) -> SystemResult:
    """Serve the plan's trajectories by one system in virtual time.

    A keyboard interrupt ends it early; the result then holds what was done and is marked
    incomplete. Requests and counters are written as the run goes, and read back at its end.

    Args:
        sample_s: model seconds between two counter samples.
        directory: the system's own.
        progress: told requests done, each SNIC's use (0..1) and the model time, seconds.

    Raises:
        Standstill: the nodes wait for each other for ever, or are busy without an end.
    """
    begun = time.monotonic()
    watch = SnicWatch(plan)
    total = plan.requests
    journal.phase("serving", system.name)
    with (
        RecordFile(requests_path(directory)) as requests,
        RecordFile(counters_path(directory)) as counters,
    ):
        last_s = -1.0

        def sampled(sample: CounterSample) -> None:
            nonlocal last_s
            last_s = sample.t_s
            counters.append(sample)
            counters.flush()
            requests.flush()
            journal.served(system.name, requests.written, total)
            progress(requests.written, watch.look(sample.t_s, sample.nics), sample.t_s)

        with rare_collections(), kept(plan, system, directory, journal) as told:
            run = simulate(plan, system, sample_s, requests.append, sampled, told)
        if run.last.t_s > last_s:  # a run may end just when they were read
            counters.append(run.last)
    return SystemResult(
        system=system,
        records=read(requests_path(directory), RequestRecord),
        samples=read(counters_path(directory), CounterSample),
        node_stats=run.stats,
        drops={},
        complete=run.complete,
        ending=run.ending,
        wall_s=time.monotonic() - begun,
        faults=read(faults_path(directory), FaultEvent) if plan.faults else (),
        attempts=read(attempts_path(directory), AttemptRecord) if plan.faults else (),
    )


@contextmanager
def rare_collections() -> Iterator[None]:
    """Spare the garbage collector the plan, and most of its rounds: a run makes millions of
    objects that die by their reference counts, and few that only it can find."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
