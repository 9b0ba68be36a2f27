"""Claims: what a scenario says of arrivals, gaps and the end stands in the plan, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from plan.arrivals import Arrivals, Gaps
from plan.end import End, Steady
from plan.errors import ScenarioError
from plan.model import Plan
from plan.workload import steps
from scenarios.configuration.checks import check
from scenarios.configuration.decoding import convert
from scenarios.configuration.loading import load_scenario, resolved_yaml
from scenarios.configuration.models import MODELS
from scenarios.configuration.schema import Scenario
from scenarios.planning import online
from scenarios.planning.plan import make_plan

SOURCE = {"generator": "32K"}


def scenario(run: object = None, **workload: object) -> Scenario:
    data: dict[str, Any] = {"name": "test", "workload": {"source": SOURCE, "agents": 3, **workload}}
    if run is not None:
        data["run"] = run
    made = convert(data, Scenario)
    check(made)
    return made


def planned(run: object = None, **workload: object) -> Plan:
    return make_plan(scenario(run, **workload)).plan


def refused(run: object = None, **workload: object) -> str:
    with pytest.raises(ScenarioError) as refusal:
        planned(run, **workload)
    return str(refusal.value)


def test_offline_is_the_default_and_ends_with_the_last_request() -> None:
    plan = planned()
    assert (plan.arrivals, plan.gaps, plan.end, plan.endless) == (None, None, None, False)


@pytest.mark.parametrize(
    ("arrival", "expected"),
    [
        ("0.45 /s", Arrivals(rates=((0.0, 0.45),))),
        ({"rate": "2 /s", "cv": 3}, Arrivals(rates=((0.0, 2.0),), cv=3.0)),
        (
            {"steps": [["0 s", "0.2 /s"], ["600 s", "0 /s"], ["700 s", "0.6 /s"]]},
            Arrivals(rates=((0.0, 0.2), (600.0, 0.0), (700.0, 0.6))),
        ),
    ],
)
def test_agents_arrive_at_the_rates_of_the_scenario(arrival: object, expected: Arrivals) -> None:
    plan = planned(arrival=arrival)
    assert plan.arrivals == expected
    assert plan.endless
    assert plan.requests is None


def test_the_papers_rule_ends_a_run_to_which_agents_come_without_end() -> None:
    end = End(after_s=7200.0, ttft_beyond_s=4.0, steady=Steady())
    assert planned(arrival="1 /s").end == end
    warm = planned({"warmup": "60 s", "end": {"window": "30 s"}}, arrival="1 /s").end
    assert warm == msgspec.structs.replace(end, warmup_s=60.0, window_s=30.0)


def test_an_end_is_as_the_scenario_says() -> None:
    ends = {"after": "900 s", "agents": 40, "steady": {"within": 0.1, "apart": "60 s"}}
    assert planned({"warmup": "10 s", "end": ends}).end == End(
        after_s=900.0, agents=40, steady=Steady(within=0.1, apart_s=60.0), warmup_s=10.0
    )


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        ({"fixed": "2 s"}, Gaps(kind="fixed", mean_s=2.0, scale=3.0)),
        (
            {"lognormal": {"mean": "5 s", "cv": 2}},
            Gaps(kind="lognormal", mean_s=5.0, cv=2.0, scale=3.0),
        ),
    ],
)
def test_gaps_are_as_the_scenario_says(gap: object, expected: Gaps) -> None:
    assert planned(gap=gap, gap_scale=3).gaps == expected


@pytest.mark.parametrize(
    ("arrival", "said"),
    [
        ("soon", "workload.arrival"),
        ("0 /s", "workload.arrival"),
        ({}, "write one of rate, steps, file and trace"),
        ({"rate": "1 /s", "trace": 1}, "rate and trace"),
        ("trace", "needs a recorded trace"),
        ({"steps": [["5 s", "1 /s"], ["5 s", "2 /s"]]}, "comes after 5 s"),
        ({"steps": [["5 s", "0 /s"]]}, "lets nobody arrive"),
        ({"file": "/no/such/file"}, "does not exist"),
        ({"rate": "1 /s", "cv": 0}, "workload.arrival.cv"),
    ],
)
def test_arrivals_that_cannot_be_are_refused(arrival: object, said: str) -> None:
    assert said in refused(arrival=arrival)


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        ("trace", "needs a recorded trace"),
        ({}, "write either lognormal or fixed"),
        ({"fixed": "1 s", "lognormal": {"mean": "1 s"}}, "both"),
        ({"fixed": "0 s"}, "workload.gap.fixed"),
    ],
)
def test_gaps_that_cannot_be_are_refused(gap: object, said: str) -> None:
    assert said in refused(gap=gap)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({"end": {"steady": True}}, "may never come true"),
        ({"end": {"ttft_beyond": "4 s"}}, "may never come true"),
        ({"end": {"after": "60 s"}, "warmup": "60 s"}, "lies in the warm-up"),
    ],
)
def test_an_end_that_does_not_come_is_refused(run: object, said: str) -> None:
    assert said in refused(run, arrival="1 /s")


def test_the_longest_context_counts_the_round_before_who_is_replayed_again() -> None:
    prompt = max(step.prompt for t in planned().trajectories for step in steps(t))
    room = -(-prompt // 64) * 64 * MODELS["ds-27b"].token_bytes
    data: dict[str, Any] = {
        "name": "test",
        "cluster": {"dram_buffer": f"{room + 1} B"},
        "workload": {"source": SOURCE, "agents": 3},
    }
    make_plan(convert(data, Scenario))
    data["workload"]["arrival"] = "1 /s"
    with pytest.raises(ScenarioError, match=r"cluster\.dram_buffer"):
        make_plan(convert(data, Scenario))


def csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_rates_come_from_a_file_beside_the_scenario(tmp_path: Path) -> None:
    csv(tmp_path / "day.csv", "seconds,agents per second\n0,0.5\n60,0\n\n90, 1.5\n")
    file = tmp_path / "online.yaml"
    file.write_text(
        "workload: {source: {generator: 32K}, agents: 3, arrival: {file: day.csv, cv: 2}}\n"
    )
    loaded = load_scenario(file)
    plan = make_plan(loaded).plan
    assert plan.arrivals == Arrivals(rates=((0.0, 0.5), (60.0, 0.0), (90.0, 1.5)), cv=2.0)
    again = tmp_path / "again.yaml"
    again.write_text(resolved_yaml(loaded))
    assert load_scenario(again) == loaded


def test_another_way_to_arrive_takes_the_scenarios_place(tmp_path: Path) -> None:
    file = tmp_path / "online.yaml"
    file.write_text(
        "workload: {source: {generator: 32K}, agents: 3, arrival: {rate: 1 /s, cv: 2}}\n"
    )
    loaded = load_scenario(file, ["workload.arrival.steps=[[0 s, 2 /s]]"])
    assert loaded.workload.arrivals is not None
    assert loaded.workload.arrivals.rate is None
    assert loaded.workload.arrivals.cv == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,1\nten,2\n", "rates.csv:2: 'ten,2' is not two numbers"),
        ("0,1,2\n", "rates.csv:1"),
        ("0,-1\n", "not from 0 on"),
        ("nan,1\n0,1\n", "not from 0 on"),
        ("", "lets nobody arrive"),
        ("5,1\n4,1\n", "comes after 5 s"),
    ],
)
def test_a_file_that_is_none_of_rates_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as refusal:
        online.read_rates(csv(tmp_path / "rates.csv", text))
    assert said in str(refusal.value)


def test_too_many_rates_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "MAX_RATES", 3)
    with pytest.raises(ScenarioError, match="more than 3 lines"):
        online.read_rates(csv(tmp_path / "rates.csv", "0,1\n1,1\n2,1\n3,1\n"))
