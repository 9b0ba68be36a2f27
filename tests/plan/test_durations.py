"""Claims: a histogram of durations answers like the durations themselves."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.durations import STEP, Durations, together

SECONDS = st.floats(1e-6, 100.0)


def of(values: list[float]) -> Durations:
    durations = Durations()
    for value in values:
        durations.add(value)
    return durations


@given(st.lists(SECONDS, min_size=1), st.floats(0.0, 1.0))
def test_quantiles_are_right_to_within_a_bin(values: list[float], share: float) -> None:
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert exact / STEP <= of(values).quantile_s(share) <= exact * STEP


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_a_union_is_as_if_counted_together(some: list[float], others: list[float]) -> None:
    union, whole = together([of(some), of(others)]), of(some + others)
    assert union.bins == whole.bins
    assert (union.count, union.longest_s) == (whole.count, whole.longest_s)
    assert union.total_s == pytest.approx(whole.total_s)


def test_it_survives_the_way_to_disk_and_back() -> None:
    durations = of([1e-12, 0.0, 0.5, 0.5])
    assert msgspec.json.decode(msgspec.json.encode(durations), type=Durations) == durations


def test_there_is_no_quantile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no durations"):
        Durations().quantile_s(0.5)
