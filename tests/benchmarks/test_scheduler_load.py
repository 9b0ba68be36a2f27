"""What the central scheduler costs at the paper's largest size (44P88D, its Table 3).

Run with `pytest -m benchmark -s tests/benchmarks/test_scheduler_load.py`. The scheduler that runs
use is told what leaders and agents of such a cluster tell it, by itself: engines take as long for
a request as the largest run says. The paper's scheduler stays below 10 cores.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from heapq import heappop, heappush
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import msgspec
import pytest

import scenarios  # noqa: F401  before anything of nodes, so that its core is looked for
from nodes.agents.context import Agent
from nodes.protocol.messages import Assign, Attempt, Fetch, Message, Report, Request, Submit
from nodes.protocol.world import World
from nodes.scheduling.scheduler import SchedulerNode
from plan.deployment import System
from plan.model import Plan
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.planning.plan import make_plan
from scenarios.running import compiled

REQUESTS_PER_S = 1085.0
"""Of agents that arrive at 8.8 a second (`docs/online.md`, 44P88D)."""
PREFILL_S, READ_S, TPOT_S = 1.75, 0.1, 0.038
"""From its assignment to a request's first token, of it reading; per token from then on."""
WARMUP_S, MEASURED_S = 15.0, 30.0
PAPERS_CORES = 10


@dataclass
class Cost:
    """Of the measured time, CPU seconds; `core` is what it went by."""

    core: str = ""
    cpu_s: float = 0.0
    requests: int = 0
    fetches: int = 0


@dataclass
class Cluster:
    """Engines and leaders that do nothing but take their time; the scheduler's world."""

    plan: Plan
    now_s: float = 0.0
    finished: dict[str, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    queued: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    assigned: int = 0
    _due: list[tuple[float, int, Assign]] = field(default_factory=list)
    _order: int = 0

    @property
    def clock(self) -> Cluster:
        return self

    def now(self) -> float:
        return self.now_s

    def send(self, to: str, message: Message) -> None:
        """An assignment to its PE's node or its DE's node."""
        assert isinstance(message, Assign)
        if to != message.pe.split(".")[0]:
            return
        self.assigned += 1
        self.queued[self._reader(message)] += message.request.cached
        decode_s = PREFILL_S + TPOT_S * message.request.gen
        for after_s in (READ_S, PREFILL_S, decode_s):
            self._order += 1
            heappush(self._due, (self.now_s + after_s, self._order, message))

    def pass_to(self, now_s: float) -> None:
        """What ends until then."""
        self.now_s = now_s
        while self._due and self._due[0][0] <= now_s:
            at_s, _, assign = heappop(self._due)
            passed_s = at_s - assign.assigned_s
            if passed_s < PREFILL_S / 2:
                self.queued[self._reader(assign)] -= assign.request.cached
            else:
                engine = assign.pe if passed_s < PREFILL_S + TPOT_S / 2 else assign.de
                self.finished[engine.split(".")[0]].append(assign.attempt)

    def fetch(self, group: int) -> Fetch:
        """What a leader says."""
        return Fetch(
            group,
            tuple(
                Report(node, tuple(self.finished.pop(node, ())), self.queued[node])
                for node in self.plan.groups[group]
            ),
        )

    def _reader(self, assign: Assign) -> str:
        engine = assign.pe if assign.pe_blocks else assign.de
        return engine.split(".")[0]


def requests(plan: Plan) -> list[Request]:
    """Turns of some agents, as they ask for them."""
    found = []
    for number, trajectory in enumerate(plan.trajectories[:40]):
        agent = Agent(number, trajectory, plan.layout.tokens)
        found += [agent.request(0, i, turn, 0.0) for i, turn in enumerate(trajectory.turns)]
    return found


def cost(plan: Plan, system: System) -> Cost:
    """Ask for requests at their rate; every leader fetches once an interval, in turn."""
    cluster, rng, spent = Cluster(plan), random.Random(1), Cost()
    scheduler = SchedulerNode(cast(World, cluster), plan, system)
    asked, turns = 0, requests(plan)
    interval_s = plan.constants.fetch_interval_s
    every_s = interval_s / len(plan.groups)
    for tick in range(round((WARMUP_S + MEASURED_S) / every_s)):
        cluster.pass_to(tick * every_s)
        messages: list[Message] = []
        while asked < REQUESTS_PER_S * cluster.now_s:
            asked += 1
            turn = rng.choice(turns)
            messages.append(Submit(msgspec.structs.replace(turn, number=asked)))
        messages.append(cluster.fetch(tick % len(plan.groups)))
        before, began = cluster.assigned, time.process_time()
        for message in messages:
            scheduler.handle(message)
        if cluster.now_s >= WARMUP_S:
            spent.cpu_s += time.process_time() - began
            spent.requests += cluster.assigned - before
            spent.fetches += 1
    return spent


@pytest.mark.benchmark
@pytest.mark.timeout(600)
@pytest.mark.parametrize("core", ["plain", "compiled"])
def test_the_scheduler_of_44p88d_needs_less_than_the_paper_s(
    core: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(compiled.VARIABLE, core)
    if core == "compiled" and not compiled.Core(compiled.CORES / compiled.digest()).whole:
        pytest.skip("not compiled: make compiled")
    # a process of its own, which imports the core that was asked for
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        spent = alone.submit(cost_of_44p88d).result()
    cores = spent.cpu_s / MEASURED_S
    print(
        f"\n44P88D, {core}: {spent.requests / MEASURED_S:.0f} requests/s and"
        f" {spent.fetches / MEASURED_S:.0f} fetches/s take {cores:.3f} cores:"
        f" {spent.requests / spent.cpu_s:.0f} requests a CPU second (a PE, a DE and the side"
        f" that reads each)",
        end="",
    )
    assert spent.core.startswith(core)
    assert spent.requests == pytest.approx(REQUESTS_PER_S * MEASURED_S, rel=0.02)
    assert cores < PAPERS_CORES


def cost_of_44p88d() -> Cost:
    scenario = load_scenario(library.find(Path("online-44p88d")))
    (system,) = scenario.compared
    spent = cost(make_plan(scenario).plan, system)
    spent.core = compiled.kind()
    return spent
