"""What a run in virtual time costs as the cluster grows: 1, 2, 4 and 8 times 2P4D.

Run with `pytest -m benchmark -s tests/benchmarks/test_virtual_scale.py`.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pytest

import scenarios
from nodes.virtual_run import simulate
from scenarios.planning import make_plan
from scenarios.schema import load_scenario

FULL = Path(scenarios.__file__).with_name("full-2p4d.yaml")
AGENTS = 512
"""Per unit of 2P4D."""
SIZES = (1, 2, 4, 8)


class Cost(NamedTuple):
    requests: int
    cpu_s: float
    memory_bytes: int
    jct_s: float


def cost(units: int) -> Cost:
    """Serve two turns of every agent by DualPath, engine groups of one unit each."""
    plan = make_plan(
        load_scenario(
            FULL,
            [
                f"cluster.prefill={2 * units}",
                f"cluster.decode={4 * units}",
                f"cluster.storage.hosts={2 * units}",
                "cluster.group_nodes={prefill: 2, decode: 4}",
                f"workload.agents={AGENTS * units}",
                "workload.min_turns=40",
                "workload.turns={skip: 20, count: 2}",
                "systems=[dualpath]",
            ],
        )
    ).plan
    (system,) = load_scenario(FULL, ["systems=[dualpath]"]).compared
    Path("/proc/self/clear_refs").write_text("5")  # planning's peak is not the run's
    before, began = _status_bytes("VmRSS"), time.process_time()
    run = simulate(plan, system, sample_s=5.0)
    cpu_s = time.process_time() - began
    jct_s = max(record.done_s or 0.0 for record in run.records)
    return Cost(len(run.records), cpu_s, _status_bytes("VmHWM") - before, jct_s)


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_cost_grows_no_faster_than_the_work() -> None:
    costs = {}
    for units in SIZES:
        # a process each, so that one's peak memory is not another's
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            costs[units] = alone.submit(cost, units).result()
        done = costs[units]
        print(
            f"\n{2 * units}P{4 * units}D, {AGENTS * units} agents, {done.requests} requests:"
            f" {done.requests / done.cpu_s:.0f} requests/s,"
            f" {done.memory_bytes / (AGENTS * units):.0f} bytes per agent,"
            f" JCT {done.jct_s:.1f} s",
            end="",
        )
    small, large = costs[SIZES[0]], costs[SIZES[-1]]
    # a request makes as many calls in a cluster of any size, but over more live objects:
    # garbage collection and cache misses made 1.64 of it where this was first measured
    assert large.cpu_s / large.requests < 2 * small.cpu_s / small.requests
    assert large.memory_bytes < 1.5 * SIZES[-1] * small.memory_bytes
