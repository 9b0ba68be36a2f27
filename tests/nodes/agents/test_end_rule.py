"""Claims: a run ends when its time has come, by its agents, or by TTFT; waiting counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.agents.end_rule import EndRule
from plan.end import End, Steady
from plan.records import EndedBy


def ended(
    end: End, ttft_s: Callable[[float], float], looks: int = 5000
) -> tuple[EndedBy, int] | None:
    """When a rule ends a run in which a request is submitted every second, by what; `ttft_s`
    says how long the one of a second waits."""
    rule, firsts = EndRule(end), {}
    for now in range(1, looks):
        rule.submitted(now, float(now))
        firsts[now] = now + ttft_s(now)
        for request in [request for request, first_s in firsts.items() if first_s <= now]:
            rule.first_token(request, firsts.pop(request))
        if by := rule.look(float(now)):
            return by, now
    return None


def test_a_run_ends_after_its_time() -> None:
    assert ended(End(after_s=600.0), lambda _: 1.0) == ("after", 600)


def test_a_run_ends_when_so_many_agents_are_done_and_not_in_the_warm_up() -> None:
    rule = EndRule(End(agents=2, warmup_s=10.0))
    rule.agent_done()
    assert rule.look(20.0) is None
    rule.agent_done()
    assert rule.look(9.0) is None
    assert rule.look(21.0) == "agents"


def test_nothing_ends_where_nothing_is_asked_for() -> None:
    assert ended(End(warmup_s=10.0), lambda _: 1000.0) is None


def test_ttft_beyond_its_bound_ends_the_run_once_a_window_lies_behind_the_warm_up() -> None:
    end = End(ttft_beyond_s=4.0, window_s=50.0, warmup_s=30.0)
    assert ended(end, lambda _: 3.9) is None
    assert ended(end, lambda _: 4.5) == ("ttft_beyond", 80)


def test_who_is_never_served_is_beyond_the_bound_too() -> None:
    end = End(ttft_beyond_s=4.0, window_s=50.0)
    by = ended(end, lambda at_s: 0.5 if at_s < 200 else float("inf"))
    assert by is not None
    assert by[0] == "ttft_beyond"
    assert 204 < by[1] < 250


def test_ttft_is_at_rest_when_it_is_what_it_was_that_long_before() -> None:
    end = End(steady=Steady(within=0.05, apart_s=300.0), window_s=50.0, warmup_s=100.0)
    by = ended(end, lambda at_s: 1.0 + (at_s / 500 if at_s < 1000 else 2.0))
    assert by is not None
    assert by[0] == "steady"
    assert 1200 < by[1] < 1350
    assert ended(end, lambda _: 1.0) == ("steady", 450)
    assert ended(end, lambda at_s: at_s / 10) is None


@pytest.mark.parametrize(
    ("end", "by", "from_s"),
    [
        (End(after_s=600.0, warmup_s=50.0), "after", 50.0),
        (End(ttft_beyond_s=4.0, warmup_s=50.0), "after", 50.0),
        (End(ttft_beyond_s=4.0, warmup_s=50.0), "ttft_beyond", 450.0),
        (End(steady=Steady(), warmup_s=50.0), "after", 450.0),
        (End(steady=Steady(), warmup_s=500.0), "steady", 500.0),
        (End(steady=Steady(), warmup_s=50.0), "all served", 50.0),
        (End(warmup_s=700.0), "all served", 600.0),
    ],
)
def test_what_is_measured_lies_behind_the_warm_up_or_in_the_last_window(
    end: End, by: EndedBy, from_s: float
) -> None:
    assert EndRule(end).measured_from_s(by, 600.0) == from_s


def test_a_first_token_that_is_told_twice_counts_once() -> None:
    rule = EndRule(End(ttft_beyond_s=4.0, window_s=10.0))
    rule.submitted(1, 0.0)
    rule.submitted(2, 0.0)
    rule.first_token(1, 3.0)
    rule.first_token(1, 3.0)
    rule.first_token(2, 9.0)
    assert rule.look(10.0) == "ttft_beyond"
