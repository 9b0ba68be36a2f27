"""Claims: the time that is said to be left is about right from start to tail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scenarios.running.pace import AwakeClock, Pace

START_S, FULL_S, TAIL_S = 300.0, 3000.0, 600.0
"""Nothing is done; the most a second is; ever less is."""
RATE = 1000.0
END_S = START_S + FULL_S + TAIL_S


def done_by(t_s: float) -> int:
    full = min(max(t_s - START_S, 0.0), FULL_S)
    tail = min(max(t_s - START_S - FULL_S, 0.0), TAIL_S)
    return int(RATE * (full + tail - tail**2 / (2 * TAIL_S)))


TOTAL = done_by(END_S)


def said(at_s: float, every_s: float = 5.0, done: Callable[[float], int] = done_by) -> float:
    """What is left by a look at that time, after looks all along."""
    pace = Pace(TOTAL, 0.0)
    left_s = None
    for i in range(1, round(at_s / every_s) + 1):
        left_s = pace.look(done(i * every_s), i * every_s)
    assert left_s is not None
    return left_s


@pytest.mark.parametrize("at_s", [600.0, 1000.0, 2000.0, 3000.0, 3300.0])
def test_the_time_left_is_right_to_a_tenth_of_the_whole(at_s: float) -> None:
    assert said(at_s) == pytest.approx(END_S - at_s, abs=0.1 * END_S)


def test_a_start_is_forgotten_that_an_average_would_count_for_ever() -> None:
    at_s = 700.0
    average = at_s / done_by(at_s) * (TOTAL - done_by(at_s))
    left_s = END_S - at_s
    assert average - left_s > 0.5 * left_s
    assert abs(said(at_s) - left_s) < 0.15 * left_s


def test_the_end_is_the_end() -> None:
    assert said(END_S) == 0.0


def test_looks_in_any_number_cost_little_and_say_the_same() -> None:
    pace = Pace(TOTAL, 0.0)
    left_s = None
    for i in range(1, 40_001):
        left_s = pace.look(done_by(i * 0.05), i * 0.05)
    assert left_s == pytest.approx(said(2000.0), rel=0.01)
    assert len(pace._looks) < 200


def test_before_anything_is_done_nobody_knows() -> None:
    pace = Pace(10, 100.0)
    assert pace.look(0, 100.0) is None
    assert pace.look(0, 160.0) is None


def test_a_stop_is_no_part_of_the_time_that_a_forecast_goes_by() -> None:
    """Half of a processor beside others, then a stop of ten times as long as all before."""
    wall_s, computed_s, stop_s = 0.0, 0.0, 1000.0
    clock = AwakeClock(lambda: wall_s, lambda: computed_s)
    pace = Pace(400, clock())
    for done in range(1, 101):
        wall_s, computed_s = wall_s + 1.0, computed_s + 0.5
        if done == 100:
            wall_s += stop_s
        left_s = pace.look(done, clock())
    assert left_s == pytest.approx(300, rel=0.02)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_program_that_computes_beside_others_is_not_stopped(share: float) -> None:
    wall_s = 0.0
    clock = AwakeClock(lambda: wall_s, lambda: share * wall_s)
    wall_s = 100.0
    assert clock() == 100.0
