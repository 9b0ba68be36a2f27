"""Claims: figures are of what ended within the measured window, and of nothing else."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from plan.arrivals import Arrivals
from plan.model import Plan
from plan.records import Ending, RequestRecord
from plan.workload import Trajectory, Turn
from scenarios.results.measured import measured
from scenarios.results.metrics import summarise_system
from scenarios.results.result import SystemResult
from tests.scenarios.synthetic import make_plan, make_result

TURNS = 5
HALF = {"pe0": 0.5, "de0": 0.25}


def online_plan() -> Plan:
    trajectory = Trajectory(name="five", turns=(Turn(100, 10),) * TURNS)
    arrivals = Arrivals(rates=((0.0, 1.0),))
    return msgspec.structs.replace(make_plan(), trajectories=(trajectory,) * 8, arrivals=arrivals)


def ended(plan: Plan, from_s: float, to_s: float) -> SystemResult:
    """Of 8 agents with turns of 4 s each, done at 4, 8, 12, 16 and 20 s; one has a turn left."""
    result = make_result(plan, "basic", 20.0, HALF)
    left = RequestRecord(
        request=99, agent=0, turn=4, prompt_tokens=1, gen_tokens=1, submit_s=to_s - 1
    )
    records = [r for r in result.records if (r.agent, r.turn) != (0, 4)]
    ending = Ending(ended_by="after", from_s=from_s, to_s=to_s, under_way=1)
    return replace(result, records=[*records, left], ending=ending)


def test_only_requests_that_were_done_within_count() -> None:
    found = measured(online_plan(), ended(online_plan(), 10.0, 20.0))
    assert {record.done_s for record in found.done} == {12.0, 16.0, 20.0}
    assert found.span_s == 10.0


def test_an_agent_whose_last_turn_is_under_way_has_not_ended() -> None:
    found = measured(online_plan(), ended(online_plan(), 10.0, 20.0))
    assert len(found.lives) == 8
    assert len(found.ended) == 7
    assert found.lives[0].end_s is None


def test_an_agent_s_jct_goes_back_to_its_first_request_before_the_window() -> None:
    found = measured(online_plan(), ended(online_plan(), 18.0, 20.0))
    assert found.jcts_s == pytest.approx([20.0] * 7)


def test_who_ended_before_the_window_is_not_of_it() -> None:
    assert measured(online_plan(), ended(online_plan(), 20.5, 25.0)).ended == []


def test_arrivals_are_those_within() -> None:
    assert measured(online_plan(), ended(online_plan(), 0.0, 20.0)).arrivals_per_s == 8 / 20
    assert measured(online_plan(), ended(online_plan(), 1.0, 20.0)).arrivals_per_s == 0.0


def test_a_run_that_was_not_to_serve_all_has_no_jct_and_says_what_it_left_out() -> None:
    summary = summarise_system(online_plan(), ended(online_plan(), 10.0, 20.0))
    assert summary.jct_s is None
    assert summary.ending is not None
    assert summary.ending.under_way == 1
    assert (summary.requests, summary.completed, summary.measured) == (40, 39, 23)
    assert summary.agent_jct_s is not None
    assert summary.agent_jct_s.count == 7


def test_a_nic_s_use_is_over_the_window() -> None:
    result = ended(online_plan(), 10.0, 20.0)
    for sample in result.samples:
        if sample.t_s < 10.0:
            sample.nics["pe0.snic"] = (0.0, 0.0)
    [start] = [sample for sample in result.samples if sample.t_s == 10.0]
    start.nics["pe0.snic"] = (0.0, 0.0)
    use = summarise_system(online_plan(), result).snic["pe0"]
    assert use.utilisation == pytest.approx(20 * 0.5 / 10)
