"""Claims: what each run of a search for a capacity is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from plan.errors import ScenarioError
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.configuration.systems import SYSTEMS
from scenarios.running.capacity_search import at_rate

TEXT = """
workload: {source: {generator: 32K}, agents: 4, arrival: 0.45 /s}
systems: [basic, dualpath]
"""
BASIC = SYSTEMS["basic"]


def loaded(tmp_path: Path, *overrides: str) -> Scenario:
    path = tmp_path / "online.yaml"
    path.write_text(TEXT)
    return load_scenario(path, overrides)


def test_a_run_is_of_one_system_at_one_rate(tmp_path: Path) -> None:
    run = at_rate(loaded(tmp_path, "workload.arrival={rate: 0.45 /s, cv: 3}"), BASIC, 0.2)
    assert run.compared == (BASIC,)
    assert run.workload.arrivals is not None
    assert (run.workload.arrivals.rate, run.workload.arrivals.cv) == (0.2, 3.0)


def test_a_run_beyond_the_slo_ends_early_unless_the_scenario_has_a_bound(tmp_path: Path) -> None:
    assert at_rate(loaded(tmp_path, "slo.ttft=2 s"), BASIC, 0.2).run.end.ttft_beyond == 2.0
    timed = loaded(tmp_path, "run.end.after=900 s")
    end = at_rate(timed, BASIC, 0.2).run.end
    assert (end.after, end.ttft_beyond) == (900.0, 4.0)
    bound = loaded(tmp_path, "run.end={after: 900 s, ttft_beyond: 7 s}")
    assert at_rate(bound, BASIC, 0.2).run.end.ttft_beyond == 7.0


def test_without_an_end_of_its_own_the_papers_ends_it(tmp_path: Path) -> None:
    assert at_rate(loaded(tmp_path), BASIC, 0.2).run.end.steady is True


def test_agents_that_arrive_together_are_given_a_rate(tmp_path: Path) -> None:
    offline = loaded(tmp_path, "workload.arrival=offline")
    arrival = at_rate(offline, BASIC, 0.2).workload.arrivals
    assert arrival is not None
    assert arrival.rate == 0.2


def test_agents_at_changing_rates_have_no_capacity(tmp_path: Path) -> None:
    steps = loaded(tmp_path, "workload.arrival={steps: [[0 s, 1 /s]]}")
    with pytest.raises(ScenarioError, match=r"workload\.arrival"):
        at_rate(steps, BASIC, 0.2)


def test_names_stay_within_what_a_name_may_be(tmp_path: Path) -> None:
    long = msgspec.structs.replace(loaded(tmp_path), name="n" * 64)
    system = msgspec.structs.replace(BASIC, name="s" * 64)
    assert len(at_rate(long, system, 0.0001234).name) <= 64
