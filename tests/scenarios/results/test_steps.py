"""Claims: what changes by steps, at a moment and over a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.results.steps import steps
from tests.examples import tries

moments = st.integers(0, 20).map(float)
changes = st.lists(st.tuples(moments, st.integers(-5, 5).map(float)), max_size=12)


@tries(100)
@given(changes, moments)
def test_at_a_moment_it_is_the_sum_of_the_changes_so_far(
    made: list[tuple[float, float]], t_s: float
) -> None:
    found = steps(made).at(np.array([t_s]))
    assert found[0] == pytest.approx(sum(by for when, by in made if when <= t_s))


@tries(100)
@given(changes, moments, st.integers(1, 10))
def test_its_mean_is_over_the_time_and_not_over_the_changes(
    made: list[tuple[float, float]], from_s: float, length: int
) -> None:
    """Changes are at whole seconds, so each second has one level."""
    seconds = from_s + np.arange(length, dtype=np.float64)
    levels = steps(made).at(seconds)
    to_s = from_s + length
    assert steps(made).mean(from_s, to_s) == pytest.approx(float(levels.mean()))
    assert steps(made).largest(from_s, to_s) == levels.max()


def test_nothing_is_zero() -> None:
    assert steps([]).mean(0.0, 1.0) == 0.0
