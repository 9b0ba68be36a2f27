"""Claims: what is in a trace, in figures."""

from __future__ import annotations

import pytest

from plan.workload import Trajectory, Turn
from scenarios.analysis.trace_figures import trace_figures
from scenarios.workload.generator import generate, statistics


def test_hits_branches_gaps_and_starts_are_counted() -> None:
    figures = trace_figures(
        [
            Trajectory(
                name="a",
                turns=(Turn(100, 10), Turn(90, 10, None, 4.0)),
                stems=((3, 20), (4, 64)),
            ),
            Trajectory(
                name="b",
                turns=(Turn(40, 10), Turn(100, 10, 0, 2.0)),
                preloaded=60,
                start_s=7.5,
                stems=((3, 20), (4, 48)),
            ),
        ]
    )
    assert (figures.trajectories, figures.requests) == (2, 4)
    assert figures.hit_rate == pytest.approx(110 / (100 + 200 + 100 + 100))
    assert figures.shared_hit_rate == pytest.approx((110 + 60) / 500)
    assert (figures.sharing, figures.shared_tokens) == (1, 60)
    assert (figures.common_tokens, figures.common_once_tokens) == (64 + 48, 64)
    assert (figures.branches, figures.resets) == (1, 1)
    assert figures.gap_s is not None
    assert (figures.gap_s.mean, figures.gap_s.max) == (3.0, 4.0)
    assert figures.starts_s == 7.5
    first, second = figures.over_turns
    assert (first.append, first.hit_rate) == (100.0, 0.0)
    assert (second.append, second.context, second.requests) == (95.0, 55.0, 2)


def test_table_2_is_the_generators_own() -> None:
    drawn = generate("48K", 20, 1)
    figures = trace_figures(drawn)
    assert figures.table_2 == statistics(drawn)
    assert figures.gap_s is None
    assert figures.over_turns[0].requests == 20
    assert figures.over_turns[-1].turn == max(len(one.turns) for one in drawn)
