"""Latencies of requests, and what makes up TTFT."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from plan.records import RequestRecord


def ttft_s(records: Iterable[RequestRecord]) -> list[float]:
    """Time to first token, of the records that got one."""
    return [r.first_s - r.submit_s for r in records if r.first_s is not None]


def ttst_s(records: Iterable[RequestRecord]) -> list[float]:
    """Time from first to second token, of the records that got both."""
    return [
        r.second_s - r.first_s for r in records if r.first_s is not None and r.second_s is not None
    ]


def tpot_s(records: Iterable[RequestRecord]) -> list[float]:
    """Time per output token after the second, of the records with three or more."""
    return [
        (r.done_s - r.second_s) / (r.gen_tokens - 2)
        for r in records
        if r.second_s is not None and r.done_s is not None and r.gen_tokens > 2
    ]


def ttft_parts(records: Iterable[RequestRecord]) -> dict[str, float]:
    """Mean seconds of scheduling, disk queue, KV read, prefill queue and prefill.

    They add up to the mean TTFT of the records that have them all; a request without hits
    has neither disk queue nor KV read.
    """
    rows = [
        np.diff([r.submit_s, r.assigned_s, *_read(r), r.prefill_start_s, r.first_s])
        for r in records
        if r.assigned_s is not None and r.prefill_start_s is not None and r.first_s is not None
    ]
    names = ("scheduling", "disk queue", "KV read", "prefill queue", "prefill")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True)) if rows else {}


def _read(record: RequestRecord) -> tuple[float | None, float | None]:
    if record.read_start_s is None or record.read_end_s is None:
        return record.assigned_s, record.assigned_s
    return record.read_start_s, record.read_end_s
