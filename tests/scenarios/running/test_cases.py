"""Claims: a case is measured once, and what went wrong with one is its result alone."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from plan.errors import RunError
from plan.workload import steps
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.planning.plan import make_plan
from scenarios.reproduction.comparison import Measured
from scenarios.running import cases
from scenarios.running.fleet import Here

TINY = Path(__file__).parents[1] / "tiny.yaml"


@pytest.fixture
def tiny() -> Scenario:
    return load_scenario(TINY, ["systems=[oracle]", "workload.agents=2"])


def test_a_run_s_figures_are_those_of_its_requests(tiny: Scenario) -> None:
    found = cases.measure(tiny)
    assert found.requests == 2 * tiny.workload.turns.needed - 2 * tiny.workload.turns.skip
    assert 0 < found.ttft_mean_s < found.jct_s
    assert found.tpot_mean_s is not None
    assert found.jct_s == cases.measure(tiny).jct_s
    assert sum(found.ttft_parts_s.values()) == pytest.approx(found.ttft_mean_s)


def test_what_is_told_over_time_is_all_of_the_run(
    tiny: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "EVERY_S", 1.0)
    found = cases.measure(tiny)
    curves = found.over_time
    assert curves is not None
    planned = make_plan(tiny).plan
    prompts = sum(s.prompt for t in planned.trajectories for s in steps(t))
    assert sum(curves.prompt_tokens_per_s) == pytest.approx(prompts)
    assert curves.running_agents[0] == 2
    assert curves.running_agents[-1] >= 1
    assert len(curves.running_agents) == len(curves.ttft_mean_s) == math.ceil(found.jct_s)


def test_what_was_measured_is_kept_until_the_scenario_changes(
    tiny: Scenario, tmp_path: Path
) -> None:
    (first,) = cases.measured({"one": tiny}, tmp_path, Here(1))
    (kept,) = tmp_path.iterdir()
    mark = Measured(jct_s=-1.0, ttft_mean_s=0.0, requests=0, cpu_s=0.0)
    kept.write_bytes(msgspec.json.encode(mark))
    assert list(cases.measured({"one": tiny}, tmp_path, Here(1))) == [("one", mark)]
    other = msgspec.structs.replace(tiny, seed=tiny.seed + 1)
    ((_, again),) = cases.measured({"one": other}, tmp_path, Here(1))
    assert isinstance(again, Measured)
    assert again != first[1]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_case_that_cannot_be_honoured_leaves_the_others(tiny: Scenario, tmp_path: Path) -> None:
    workload = msgspec.structs.replace(tiny.workload, min_turns=5000)
    wrong = msgspec.structs.replace(tiny, workload=workload)
    found = dict(cases.measured({"wrong": wrong, "right": tiny}, tmp_path, Here(1)))
    assert isinstance(found["wrong"], RunError)
    assert "min_turns" in str(found["wrong"])
    assert isinstance(found["right"], Measured)
