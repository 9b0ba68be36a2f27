"""Claims: counters of a run count from its start, are on disk as it goes, and held no longer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plan.records import CounterSample
from scenarios.results.record_files import read
from scenarios.running.counting import Counting


def sample(t_s: float, count: float) -> CounterSample:
    return CounterSample(t_s=t_s, nics={"pe0": (0.0, count)}, links={}, lanes={"kv": (count, 0)})


IDLE_THEN_BUSY = [sample(-3.0, 70.0), sample(-0.5, 100.0), sample(0.5, 300.0), sample(1.0, 300.0)]


def read_of(samples: list[CounterSample]) -> list[tuple[float, float]]:
    return [(one.t_s, one.nics["pe0"][1]) for one in samples]


@pytest.mark.parametrize("looks", [[1, 2, 3, 4], [4], [0, 0, 3, 4], [2, 4]])
def test_the_first_bytes_of_a_run_count_in_full_whenever_it_is_looked(
    tmp_path: Path, looks: list[int]
) -> None:
    """They came after 0, and no reading was made just then."""
    counting = Counting(tmp_path / "counters.jsonl", -1.0)
    seen = 0
    with counting:
        for upto in looks:
            counting.hold(IDLE_THEN_BUSY[seen:upto])
            seen = upto
            counting.write()
    assert read_of(counting.until(1.0)) == [(0.0, 0.0), (0.5, 200.0), (1.0, 200.0)]


def test_what_was_read_after_the_last_look_counts_and_what_came_after_the_end_does_not(
    tmp_path: Path,
) -> None:
    counting = Counting(tmp_path / "counters.jsonl", -1.0)
    with counting:
        counting.hold([sample(-0.5, 100.0), sample(2.0, 200.0), sample(4.0, 400.0)])
        counting.write()
    counting.hold([sample(6.0, 500.0)])
    assert read_of(counting.until(5.0)) == [(0.0, 0.0), (2.0, 100.0), (4.0, 300.0), (5.0, 350.0)]
    assert read_of(counting.until(3.0)) == [(0.0, 0.0), (2.0, 100.0), (3.0, 200.0)]


def test_a_run_that_ends_before_it_is_looked_at_has_its_counters(tmp_path: Path) -> None:
    counting = Counting(tmp_path / "counters.jsonl", -1.0)
    with counting:
        counting.hold([sample(-0.5, 100.0)])
        counting.write()
    counting.hold([sample(0.5, 200.0)])
    assert read_of(counting.until(0.25)) == [(0.0, 0.0), (0.25, 50.0)]


def test_a_long_run_holds_none_of_its_readings(tmp_path: Path) -> None:
    counting = Counting(tmp_path / "counters.jsonl", -1.0)
    with counting:
        counting.hold([sample(-0.5, 0.0)])
        for second in range(3000):
            counting.hold([sample(float(second), second)])
            counting.write()
            if second == 100:
                before = sys.getallocatedblocks()
        assert sys.getallocatedblocks() - before < 1000
    assert len(read(tmp_path / "counters.jsonl", CounterSample)) == 3000
