"""Requests as the page shows them: how long each took, and, of the one chosen, its way."""

from __future__ import annotations

from typing import Any

import numpy as np

from plan.records import RequestRecord
from scenarios.reports.drawing import Run, colour
from scenarios.results.latencies import ttft_of

MOST = 1200
"""Of each system; of more, as many at equal distances, and the slowest."""
SLOWEST = 50
MOMENTS = (
    "submit_s",
    "assigned_s",
    "read_start_s",
    "read_end_s",
    "ready_s",
    "prefill_start_s",
    "first_s",
    "second_s",
    "done_s",
)


def ways(run: Run) -> dict[str, Any]:
    """Of every system its colour and requests, in columns."""
    names = [result.system.name for result in run.results]
    return {
        result.system.name: {
            "colour": colour(result.system.name, names),
            "served": len(result.records),
            **_columns(_chosen([r for r in result.records if r.first_s is not None])),
        }
        for result in run.results
    }


def _chosen(records: list[RequestRecord]) -> list[RequestRecord]:
    if len(records) <= MOST:
        return records
    kept = {int(place) for place in np.linspace(0, len(records) - 1, MOST - SLOWEST)}
    slow = sorted(range(len(records)), key=lambda place: -(ttft_of(records[place]) or 0.0))
    return [records[place] for place in sorted(kept | set(slow[:SLOWEST]))]


def _columns(records: list[RequestRecord]) -> dict[str, list[Any]]:
    plain = ("request", "agent", "turn", "prompt_tokens", "hit_tokens", "gen_tokens")
    columns = {name: [getattr(record, name) for record in records] for name in plain}
    columns |= {
        name: [getattr(record, name) for record in records] for name in ("pe", "de", "path")
    }
    for name in MOMENTS:
        moments = [getattr(record, name) for record in records]
        columns[name] = [None if at is None else round(at, 3) for at in moments]
    return columns
