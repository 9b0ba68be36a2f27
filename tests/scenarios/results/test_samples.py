"""Counters at the start of a run."""

from __future__ import annotations

import pytest

from plan.records import CounterSample
from scenarios.results.samples import at_start


def sample(t_s: float, count: float) -> CounterSample:
    return CounterSample(t_s=t_s, nics={"pe0": (0.0, count)}, links={}, lanes={"kv": (count, 0)})


IDLE_THEN_BUSY = [sample(-3.0, 70.0), sample(-0.5, 100.0), sample(0.5, 300.0), sample(1.0, 300.0)]


def test_without_a_reading_from_the_idle_time_the_start_is_interpolated() -> None:
    assert at_start(IDLE_THEN_BUSY, -0.25).nics["pe0"][1] == pytest.approx(200.0)


def test_a_reading_at_the_start_is_the_start() -> None:
    assert at_start([sample(0.0, 5.0), sample(1.0, 9.0)], 0.0) == sample(0.0, 5.0)
