"""Claims: the time that is said to be left is about right from start to tail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scenarios.running.pace import Pace

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
