"""Claims: who comes when follows from seed and number alone, at the rates that are asked for."""

from __future__ import annotations

from itertools import islice, pairwise
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.arrivals import Arrivals, Gaps, arrivals, gaps_s, trajectory_of
from plan.workload import Trajectory, Turn, steps
from tests.examples import tries

BASE = [
    Trajectory(name="short", turns=(Turn(10, 5), Turn(20, 5, None, 3.0))),
    Trajectory(name="stored", turns=(Turn(30, 5), Turn(4, 4, 0)), preloaded=1000),
]


def times(spec: Arrivals, count: int, seed: int = 1) -> list[float]:
    return [at_s for _, at_s in islice(arrivals(spec, BASE, seed), count)]


def test_without_arrivals_all_agents_start_together() -> None:
    assert list(arrivals(None, BASE, 1)) == [(0, 0.0), (1, 0.0)]


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_times_between_arrivals_have_the_mean_and_the_spread_that_are_asked_for(cv: float) -> None:
    found = times(Arrivals(rates=((0.0, 0.5),), cv=cv), 20_000)
    between = [late - early for early, late in pairwise(found)]
    assert fmean(between) == pytest.approx(2.0, rel=0.06)
    assert pstdev(between) / fmean(between) == pytest.approx(cv, rel=0.06)


def test_a_rate_that_changes_is_kept_in_every_step() -> None:
    spec = Arrivals(rates=((100.0, 4.0), (600.0, 0.0), (900.0, 1.0)))
    found = [at_s for at_s in times(spec, 4000) if at_s < 2900]
    assert min(found) >= 100
    assert sum(at_s < 600 for at_s in found) == pytest.approx(2000, rel=0.1)
    assert not [at_s for at_s in found if 600 <= at_s < 900]
    assert sum(at_s >= 900 for at_s in found) == pytest.approx(2000, rel=0.1)


def test_when_the_rate_stays_at_zero_nobody_comes_any_more() -> None:
    assert len(times(Arrivals(rates=((0.0, 1.0), (50.0, 0.0))), 10**6)) < 100


@given(
    st.lists(
        st.tuples(st.floats(0.1, 100), st.sampled_from([0.0, 0.5, 3.0])), min_size=1, max_size=5
    ),
    st.floats(0.2, 5),
    st.integers(0, 9),
)
@tries(50)
def test_arrivals_come_in_order_whatever_the_rates(
    lengths: list[tuple[float, float]], cv: float, seed: int
) -> None:
    at_s, rates = 0.0, []
    for length_s, rate in lengths:
        rates.append((at_s, rate))
        at_s += length_s
    found = list(islice(arrivals(Arrivals(rates=tuple(rates), cv=cv), BASE, seed), 200))
    assert [number for number, _ in found] == list(range(len(found)))
    assert all(early.at_s <= late.at_s for early, late in pairwise(found))


def test_the_same_seed_gives_the_same_times_and_another_one_others() -> None:
    spec = Arrivals(rates=((0.0, 1.0),), cv=2.0)
    assert times(spec, 50) == times(spec, 50)
    assert times(spec, 50) != times(spec, 50, seed=2)


def test_as_recorded_every_agent_comes_once() -> None:
    recorded = [
        Trajectory(name=str(start_s), turns=(Turn(1, 1),), start_s=start_s)
        for start_s in (0.0, 7.5)
    ]
    assert list(arrivals(Arrivals(), recorded, 1)) == [(0, 0.0), (1, 7.5)]


def test_trajectories_come_in_order_and_are_then_sampled_behind_a_round_of_their_own() -> None:
    spec = Arrivals(rates=((0.0, 1.0),))
    made = [trajectory_of(spec, BASE, 1, number) for number in range(60)]
    assert made[:2] == BASE
    kinds = {"short": 0, "stored": 0}
    for number, agent in enumerate(made[2:], 2):
        name, _, of = agent.name.partition("+")
        kinds[name] += 1
        assert of == str(number)
        base = next(t for t in BASE if t.name == name)
        first = 129 + base.preloaded
        if base.preloaded:
            assert agent.preloaded == first
        else:
            assert agent.turns[0] == Turn(128, 1)
        before = [step.hit for step in steps(base)]
        assert [step.hit for step in steps(agent)][-len(before) :] == [
            hit + 129 if turn.keep != 0 else 0 for hit, turn in zip(before, base.turns, strict=True)
        ]
    assert min(kinds.values()) > 10
    assert trajectory_of(spec, BASE, 1, 37) == made[37]


def test_gaps_are_none_recorded_fixed_or_drawn_and_never_before_the_first_turn() -> None:
    turns = (Turn(1, 1, None, 9.0), Turn(1, 1, None, 3.0), Turn(1, 1))
    assert list(gaps_s(None, turns, 1, 0)) == [0, 0, 0]
    assert list(gaps_s(Gaps(kind="recorded", scale=2.0), turns, 1, 0)) == [0, 6, 0]
    assert list(gaps_s(Gaps(kind="fixed", mean_s=2.0, scale=0.5), turns, 1, 0)) == [0, 1, 1]


def test_drawn_gaps_have_their_mean_and_spread_and_are_each_agents_own() -> None:
    spec, turns = Gaps(kind="lognormal", mean_s=4.0, cv=1.5), (Turn(1, 1),) * 30_001
    first, *drawn = gaps_s(spec, turns, 1, 5)
    assert first == 0
    assert fmean(drawn) == pytest.approx(4.0, rel=0.05)
    assert pstdev(drawn) / fmean(drawn) == pytest.approx(1.5, rel=0.1)
    assert drawn == list(gaps_s(spec, turns, 1, 5))[1:]
    assert drawn != list(gaps_s(spec, turns, 1, 6))[1:]
