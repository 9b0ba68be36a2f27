"""Claims: a turn in virtual time costs no more than it did; counted in plain Python, not timed."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from nodes.virtual_run import VirtualRun, simulate
from plan.deployment import System
from plan.model import Plan
from plan.records import RequestRecord
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.planning.plan import make_plan

AGENTS, TURNS = 64, 2
REQUESTS = AGENTS * TURNS
MARGIN = 1.05
TIMERS = 108.0
CALLS = 3_106
BYTES = 36_000
"""Of a turn, and at the peak of an agent, when last something was made cheaper or dearer on
purpose."""


@pytest.fixture(scope="module")
def asked() -> tuple[Plan, System]:
    """2P4D, with few agents."""
    changes = [
        f"workload.agents={AGENTS}",
        "workload.min_turns=40",
        f"workload.turns={{skip: 20, count: {TURNS}}}",
        "systems=[dualpath]",
    ]
    scenario = load_scenario(library.find(Path("full-2p4d")), changes)
    (system,) = scenario.compared
    return make_plan(scenario).plan, system


def served(asked: tuple[Plan, System]) -> VirtualRun:
    done: list[RequestRecord] = []
    run = simulate(*asked, 1e9, done.append, lambda sample: None)
    assert len(done) == REQUESTS
    return run


def test_timers(asked: tuple[Plan, System]) -> None:
    assert served(asked).events / REQUESTS < MARGIN * TIMERS


def test_calls_of_python_functions(asked: tuple[Plan, System]) -> None:
    calls = counted(lambda: served(asked)) - counted(lambda: starting(asked))
    assert calls / REQUESTS < MARGIN * CALLS


class _Begun(Exception):
    """All is there, and nothing asked for yet."""


def starting(asked: tuple[Plan, System]) -> None:
    """What is done before the first turn."""

    def sampled(_: object) -> None:
        raise _Begun

    plan, system = asked
    with pytest.raises(BaseExceptionGroup) as ended:
        simulate(plan, system, 1e9, lambda record: None, sampled)
    assert ended.group_contains(_Begun)


def counted(work: Callable[[], object]) -> int:
    """Calls of Python functions while something is done."""
    calls = 0

    def look(_frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def test_memory(asked: tuple[Plan, System]) -> None:
    tracemalloc.start()
    try:
        served(asked)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / AGENTS < MARGIN * BYTES
