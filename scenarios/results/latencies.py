"""Latencies of requests, and what makes up TTFT."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from plan.records import RequestRecord


def ttft_s(records: Iterable[RequestRecord]) -> list[float]:
    """Time to first token, of the records that got one."""
    return [value for record in records if (value := ttft_of(record)) is not None]


def ttst_s(records: Iterable[RequestRecord]) -> list[float]:
    """Time from first to second token, of the records that got both."""
    return [
        r.second_s - r.first_s for r in records if r.first_s is not None and r.second_s is not None
    ]


def tpot_s(records: Iterable[RequestRecord]) -> list[float]:
    """Time per output token after the second, of the records with three or more."""
    return [value for record in records if (value := tpot_of(record)) is not None]


def ttft_of(record: RequestRecord) -> float | None:
    """A request's time to first token; None where it got none."""
    return None if record.first_s is None else record.first_s - record.submit_s


def tpot_of(record: RequestRecord) -> float | None:
    """A request's time per output token after the second; None below three."""
    if record.second_s is None or record.done_s is None or record.gen_tokens <= 2:
        return None
    return (record.done_s - record.second_s) / (record.gen_tokens - 2)


PARTS = ("scheduling", "allocating", "reading", "prefill")
"""What makes up TTFT (paper section 7, Fig 12): waiting for a PE and a DE, for DRAM buffers, for
an SNIC and the hits, for a forward batch and its end."""


def parts_s(record: RequestRecord) -> tuple[float, float, float, float] | None:
    """Seconds of each of `PARTS`, which add up to the request's TTFT; None without a token."""
    assigned_s, wait_s, ready_s = record.assigned_s, record.buffer_wait_s, record.ready_s
    if assigned_s is None or wait_s is None or ready_s is None or record.first_s is None:
        return None
    reading_s = ready_s - assigned_s - wait_s
    return assigned_s - record.submit_s, wait_s, reading_s, record.first_s - ready_s


def ttft_parts(records: Iterable[RequestRecord]) -> dict[str, float]:
    """Mean seconds of each of `PARTS`: they add up to the mean TTFT of the records that have
    them."""
    rows = [parts for record in records if (parts := parts_s(record)) is not None]
    return dict(zip(PARTS, np.mean(rows, axis=0).tolist(), strict=True)) if rows else {}
