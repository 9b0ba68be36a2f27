"""Levels over time: few, true, and exact at the end of every step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.engines.levels import MOST, Levels


def test_of_a_step_the_last_change_is_kept() -> None:
    levels = Levels(1.0)
    for now_s, level in ((0.2, 5.0), (0.9, 2.0), (1.1, 7.0)):
        levels.note(now_s, level)
    assert levels.kept == [(0.9, 2.0), (1.1, 7.0)]


@given(st.lists(st.floats(0, 1e4), max_size=50), st.integers(0, 2 * MOST))
def test_what_is_kept_happened_in_that_order_and_the_end_is_exact(
    moments: list[float], more: int
) -> None:
    changes = [
        (at, i + 1.0) for i, at in enumerate([*sorted(moments), *range(10**4, 10**4 + more)])
    ]
    levels = Levels(0.05)
    for change in changes:
        levels.note(*change)
    assert len(levels.kept) <= MOST
    assert set(levels.kept) <= set(changes)
    assert levels.kept == sorted(levels.kept)
    assert levels.kept[-1:] == changes[-1:]
