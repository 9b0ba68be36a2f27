"""Rows for what overlaps."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scenarios.exports.rows import rows

SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=60).map(
    lambda drawn: [(float(start), float(start + length)) for start, length in drawn]
)


@given(SPANS)
def test_in_a_row_nothing_covers_anything_else(spans: list[tuple[float, float]]) -> None:
    by_row: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for span, row in zip(spans, rows(spans), strict=True):
        by_row[row].append(span)
    for inside in by_row.values():
        assert all(early[1] <= late[0] for early, late in pairwise(sorted(inside)))


@given(SPANS)
def test_there_are_as_many_rows_as_things_at_once(spans: list[tuple[float, float]]) -> None:
    at_once = max(
        (sum(start <= moment < end for start, end in spans) for moment, _ in spans), default=0
    )
    assert len(set(rows(spans))) == at_once
