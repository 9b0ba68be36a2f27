"""Service and load over time: what the report draws of a run's course."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from plan.records import RequestRecord
from scenarios.results.latencies import tpot_of, ttft_of
from scenarios.results.measured import Measured
from scenarios.results.steps import Steps, steps
from scenarios.results.windows import Series

BINS = 120
"""Into which a run's time is cut for means and rates."""


@dataclass(frozen=True)
class Bins:
    """Equal parts of a run's time; `edges_s` are their n + 1 limits, model seconds."""

    edges_s: Series

    @property
    def centres_s(self) -> Series:
        return (self.edges_s[:-1] + self.edges_s[1:]) / 2

    def means(self, points: Iterable[tuple[float, float]]) -> Series:
        """Mean of the values of (when, value) in each bin; NaN where there is none."""
        when, values = _columns(points)
        counts = np.histogram(when, self.edges_s)[0]
        sums = np.histogram(when, self.edges_s, weights=values)[0]
        found: Series = np.full(len(counts), np.nan)
        found[counts > 0] = sums[counts > 0] / counts[counts > 0]
        return found

    def rates(self, moments_s: Sequence[float]) -> Series:
        """How many a second fall into each bin."""
        found: Series = np.histogram(moments_s, self.edges_s)[0] / np.diff(self.edges_s)
        return found


def bins(end_s: float) -> Bins:
    """From a run's start to its end, model seconds."""
    return Bins(np.linspace(0.0, end_s, BINS + 1))


def first_tokens(records: Iterable[RequestRecord]) -> list[tuple[float, float]]:
    """When a first token came, and after what TTFT."""
    return [
        (record.first_s, value)
        for record in records
        if record.first_s is not None and (value := ttft_of(record)) is not None
    ]


def later_tokens(records: Iterable[RequestRecord]) -> list[tuple[float, float]]:
    """When a request was done, and its TPOT."""
    return [
        (record.done_s, value)
        for record in records
        if record.done_s is not None and (value := tpot_of(record)) is not None
    ]


def arrivals(measured: Measured) -> list[float]:
    """When agents came."""
    return [life.start_s for life in measured.lives]


def queues(records: Sequence[RequestRecord]) -> dict[str, Steps]:
    """How many requests wait for engines, are on their way to a first token, and decode.

    Of a request that was under way at the end only its submission is known: it waits.
    """
    spans_of: list[tuple[str, list[tuple[float | None, float | None]]]] = [
        ("waiting for engines", [(r.submit_s, r.assigned_s) for r in records]),
        ("before the first token", [(r.assigned_s, r.first_s) for r in records]),
        ("decoding", [(r.first_s, r.done_s) for r in records]),
    ]
    return {
        name: steps(
            [
                *((start_s, 1.0) for start_s, _ in spans if start_s is not None),
                *((end_s, -1.0) for _, end_s in spans if end_s is not None),
            ]
        )
        for name, spans in spans_of
    }


def _columns(points: Iterable[tuple[float, float]]) -> tuple[Series, Series]:
    rows = np.array(list(points), dtype=np.float64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]
