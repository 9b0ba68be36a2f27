"""What is kept of a run's course: few entries, true, and exact at the end of every step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.engines.course import MOST, Course
from nodes.engines.engine_node import later
from nodes.engines.lockstep import together
from plan.records import ForwardRecord
from scenarios.results.congestion import attention_max_over_avg

Level = tuple[float, float]


def test_of_a_step_the_last_level_is_kept() -> None:
    kept: list[Level] = []
    levels = Course(kept, 1.0, later)
    for now_s, level in ((0.2, 5.0), (0.9, 2.0), (1.1, 7.0)):
        levels.note(now_s, (now_s, level))
    assert kept == [(0.9, 2.0), (1.1, 7.0)]


@given(st.lists(st.floats(0, 1e4), max_size=50), st.integers(0, 2 * MOST))
def test_levels_that_are_kept_happened_in_that_order_and_the_end_is_exact(
    moments: list[float], more: int
) -> None:
    changes = [
        (at, i + 1.0) for i, at in enumerate([*sorted(moments), *range(10**4, 10**4 + more)])
    ]
    kept: list[Level] = []
    levels = Course(kept, 0.05, later)
    for change in changes:
        levels.note(change[0], change)
    assert len(kept) <= MOST
    assert set(kept) <= set(changes)
    assert kept == sorted(kept)
    assert kept[-1:] == changes[-1:]


def forward(at_s: float, engines: int, tokens: int, mean_s: float, above: float) -> ForwardRecord:
    return ForwardRecord(
        t_s=at_s,
        engines=engines,
        tokens=tokens,
        attention_max_s=mean_s * above,
        attention_mean_s=mean_s,
    )


def kept_of(passes: list[ForwardRecord]) -> list[ForwardRecord]:
    kept: list[ForwardRecord] = []
    course = Course(kept, 1e-6, together)
    for one in passes:
        course.note(one.t_s, one)
    return kept


FORWARDS = st.builds(
    forward,
    st.floats(0, 1e4),
    st.integers(1, 64),
    st.integers(1, 10**5),
    st.floats(1e-4, 1.0),
    st.floats(1.0, 4.0),
)


@given(st.lists(FORWARDS, min_size=1, max_size=50), st.integers(0, 2 * MOST))
def test_forwards_that_are_joined_say_the_same_together(
    some: list[ForwardRecord], more: int
) -> None:
    passes = sorted(some, key=lambda one: one.t_s)
    passes += [forward(10**4 + 0.3 * i, 8, 1000 + i, 0.1, 1 + i % 3) for i in range(more)]
    kept = kept_of(passes)
    assert len(kept) <= MOST
    assert sum(one.passes for one in kept) == len(passes)
    assert sum(one.engines for one in kept) == sum(one.engines for one in passes)
    assert sum(one.tokens for one in kept) == sum(one.tokens for one in passes)
    assert attention_max_over_avg(kept) == pytest.approx(attention_max_over_avg(passes))
    assert [one.t_s for one in kept] == sorted({one.t_s for one in kept})
    assert kept[0].t_s == passes[0].t_s


def test_forwards_of_a_short_run_are_kept_one_by_one() -> None:
    passes = [forward(0.3 * i, 8, 1000, 0.1, 1.5) for i in range(MOST)]
    assert kept_of(passes) == passes
