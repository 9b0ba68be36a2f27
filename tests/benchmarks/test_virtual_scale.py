"""What a run in virtual time costs as the cluster grows: 1, 2, 4, 8 and 16 times 2P4D.

Run with `pytest -m benchmark -s tests/benchmarks/test_virtual_scale.py`; it draws
`runs/benchmarks/size.png`. By plain Python, and by the compiled core where there is one; beside
every figure stands what a loop of plain Python takes in the same process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pytest
from matplotlib.figure import Figure

import scenarios
from nodes.virtual_run import simulate
from plan.records import RequestRecord
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.planning.plan import make_plan
from scenarios.running import compiled
from scenarios.running.simulation import rare_collections

FULL = library.find(Path("full-2p4d"))
AGENTS = 512
"""Per unit of 2P4D."""
SIZES = (1, 2, 4, 8, 16)
PICTURE = Path(scenarios.__file__).parents[1] / "runs" / "benchmarks" / "size.png"


class Cost(NamedTuple):
    """Of planning and serving; `cpu_s` of serving alone, `memory_bytes` at the peak of both,
    beyond what the imported modules take; `reference_s` of `reference`, before and after."""

    agents: int
    requests: int
    events: int
    cpu_s: float
    reference_s: float
    memory_bytes: int
    jct_s: float


def cost(units: int) -> Cost:
    """Serve two turns of every agent by DualPath, engine groups of one unit each."""
    before = _status_bytes("VmRSS")
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
    records: list[RequestRecord] = []
    reference_s = cpu_of(reference)
    with rare_collections():
        began = time.process_time()
        run = simulate(plan, system, 5.0, records.append, lambda sample: None)
        cpu_s = time.process_time() - began
    reference_s = (reference_s + cpu_of(reference)) / 2
    jct_s = max(record.done_s or 0.0 for record in records)
    memory_bytes = _status_bytes("VmHWM") - before
    return Cost(AGENTS * units, len(records), run.events, cpu_s, reference_s, memory_bytes, jct_s)


def reference() -> None:
    """A loop whose time tells one machine, and one hour, from another."""
    total, kept = 0.0, {}
    for i in range(1_000_000):
        total += i * 0.5
        kept[i & 1023] = total


def cpu_of(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def draw(costs: list[Cost]) -> Figure:
    """Events per second and memory per agent over the number of agents."""
    agents = [cost.agents for cost in costs]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    speed, memory = figure.subplots(1, 2)
    speed.plot(agents, [cost.events / cost.cpu_s for cost in costs], "o-", color="#0072B2")
    speed.set_ylabel("events per CPU second")
    memory.plot(agents, [cost.memory_bytes / cost.agents for cost in costs], "o-", color="#D55E00")
    memory.set_ylabel("bytes of memory per agent")
    for axes in (speed, memory):
        axes.set_xscale("log", base=2)
        axes.set_xticks(agents, [f"{count:,}" for count in agents])
        axes.set_xlabel("agents, 512 for every 2P4D")
        axes.set_ylim(0, 1.1 * axes.dataLim.y1)
    return figure


@pytest.mark.benchmark
@pytest.mark.timeout(900)
@pytest.mark.parametrize("core", ["plain", "compiled"])
def test_cost_grows_no_faster_than_the_work(core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, core)
    if core == "compiled" and not compiled.Core(compiled.CORES / compiled.digest()).whole:
        pytest.skip("not compiled: make compiled")
    costs = []
    for units in SIZES:
        # a process each, so that one's peak memory is not another's
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            done = alone.submit(cost, units).result()
        costs.append(done)
        print(
            f"\n{2 * units}P{4 * units}D, {core}, {done.agents} agents, {done.requests} requests:"
            f" {done.events / done.requests:.0f} events a request,"
            f" {done.events / done.cpu_s:.0f} events/s,"
            f" {1e3 * done.cpu_s / done.requests:.2f} ms a request"
            f" ({1e3 * done.cpu_s / done.requests / done.reference_s:.1f} beside a reference of"
            f" {1e3 * done.reference_s:.0f} ms),"
            f" {done.memory_bytes / done.agents:.0f} bytes an agent,"
            f" JCT {done.jct_s:.1f} s",
            end="",
        )
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    draw(costs).savefig(PICTURE, dpi=110)
    small, large = costs[0], costs[-1]
    # the work of a request does not grow; the objects that are alive do, so that the
    # processor's caches hold less of them
    assert large.events / large.requests < 1.1 * small.events / small.requests
    assert large.cpu_s / large.requests < 2 * small.cpu_s / small.requests
    assert large.memory_bytes / large.agents < 1.5 * small.memory_bytes / small.agents
