"""What AIPerf writes of a run, with its field names and units.

`profile_export.jsonl` has a line a request, `profile_export_aiperf.json` the statistics (its
schema 1.4). Wall time there is model time here, counted from the moment the run was started.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from plan.records import RequestRecord
from scenarios.results.readable_json import write_json
from scenarios.results.saved_run import SavedRun, SavedSystem

RECORDS, STATISTICS = "profile_export.jsonl", "profile_export_aiperf.json"
SCHEMA = "1.4"
PRODUCER = "dualpath-testbed"
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
_TOKENS, _MS, _EACH = "tokens", "ms", "tokens/sec/user"
UNITS = {
    "time_to_first_token": _MS,
    "time_to_second_token": _MS,
    "request_latency": _MS,
    "inter_token_latency": _MS,
    "decode_duration": _MS,
    "input_sequence_length": _TOKENS,
    "output_sequence_length": _TOKENS,
    "output_token_count": _TOKENS,
    "usage_prompt_cache_read_tokens": _TOKENS,
    "usage_prompt_cache_miss_tokens": _TOKENS,
    "output_token_throughput_per_user": _EACH,
    "e2e_output_token_throughput": _EACH,
    "prefill_throughput_per_user": _EACH,
}
"""Figures of a request and their units."""


def write(run: SavedRun, system: SavedSystem, directory: Path) -> list[Path]:
    """Write both files; returns what was written."""
    started = datetime.fromisoformat(run.provenance.started)
    records = [record for record in system.records if record.done_s is not None]
    lines = (
        {
            "metadata": _metadata(record, started),
            "metrics": _valued(record),
            "error": None if record.error is None else {"message": record.error},
        }
        for record in records
    )
    encoder = msgspec.json.Encoder()
    with (directory / RECORDS).open("wb") as file:
        for line in lines:
            file.write(encoder.encode(line) + b"\n")
    write_json(directory / STATISTICS, _statistics(run, system.name, records, started))
    return [directory / RECORDS, directory / STATISTICS]


def _metadata(record: RequestRecord, started: datetime) -> dict[str, Any]:
    assert record.done_s is not None
    session = f"agent-{record.agent}"
    return {
        "session_num": record.agent,
        "x_request_id": f"request-{record.request}",
        "x_correlation_id": session,
        "conversation_id": session,
        "turn_index": record.turn,
        "request_start_ns": _ns(started, record.submit_s),
        "request_end_ns": _ns(started, record.done_s),
        "worker_id": PRODUCER,
        "record_processor_id": PRODUCER,
        "benchmark_phase": "profiling",
        "was_cancelled": False,
    }


def _ns(started: datetime, at_s: float) -> int:
    return int(started.timestamp()) * 10**9 + round(at_s * 1e9)


def _valued(record: RequestRecord) -> dict[str, dict[str, Any]]:
    return {name: {"value": value, "unit": UNITS[name]} for name, value in _figures(record).items()}


def _figures(record: RequestRecord) -> dict[str, float]:
    """Those in `UNITS` that a request has; a failed one has none."""
    if record.error is not None or record.first_s is None or record.done_s is None:
        return {}
    latency_s, first_s = record.done_s - record.submit_s, record.first_s - record.submit_s
    found: dict[str, float] = {
        "time_to_first_token": 1e3 * first_s,
        "request_latency": 1e3 * latency_s,
        "input_sequence_length": record.prompt_tokens,
        "output_sequence_length": record.gen_tokens,
        "output_token_count": record.gen_tokens,
        "usage_prompt_cache_read_tokens": record.hit_tokens,
        "usage_prompt_cache_miss_tokens": record.prompt_tokens - record.hit_tokens,
        "prefill_throughput_per_user": record.prompt_tokens / first_s,
        "e2e_output_token_throughput": record.gen_tokens / latency_s,
    }
    if record.second_s is not None and record.gen_tokens > 1:
        between_s = (latency_s - first_s) / (record.gen_tokens - 1)
        found |= {
            "time_to_second_token": 1e3 * (record.second_s - record.first_s),
            "decode_duration": 1e3 * (latency_s - first_s),
            "inter_token_latency": 1e3 * between_s,
            "output_token_throughput_per_user": 1 / between_s,
        }
    return found


def _statistics(
    run: SavedRun, name: str, records: list[RequestRecord], started: datetime
) -> dict[str, Any]:
    served = [record for record in records if record.error is None]
    columns: dict[str, list[float]] = {}
    for record in served:
        for figure, value in _figures(record).items():
            columns.setdefault(figure, []).append(value)
    begun_s = min((r.submit_s for r in records), default=0.0)
    ended_s = max((r.done_s for r in records if r.done_s is not None), default=0.0)
    totals = _totals(served, len(records) - len(served), ended_s - begun_s)
    complete = run.summary.systems[name].fidelity.complete
    return {
        "schema_version": SCHEMA,
        "benchmark_id": f"{run.directory.resolve().name}/{name}",
        **{figure: _spread(figure, columns[figure]) for figure in UNITS if figure in columns},
        **{
            figure: {"unit": unit, "avg": value}
            for figure, (unit, value) in totals.items()
            if value is not None
        },
        "run_info": {
            "random_seed": run.provenance.seed,
            "run_label": name,
            "cli_command": run.provenance.command,
        },
        "was_cancelled": False,
        "is_complete": complete,
        "start_time": (started + timedelta(seconds=begun_s)).isoformat(),
        "end_time": (started + timedelta(seconds=ended_s)).isoformat(),
        "producer": f"{PRODUCER} {run.provenance.project}",
    }


def _totals(
    served: list[RequestRecord], failed: int, duration_s: float
) -> dict[str, tuple[str, float | None]]:
    prompt = sum(record.prompt_tokens for record in served)
    generated = sum(record.gen_tokens for record in served)

    def a_second(amount: float) -> float | None:
        return amount / duration_s if duration_s else None

    return {
        "request_count": ("requests", len(served)),
        "error_request_count": ("requests", failed),
        "benchmark_duration": ("sec", duration_s),
        "total_isl": (_TOKENS, prompt),
        "total_osl": (_TOKENS, generated),
        "total_output_tokens": (_TOKENS, generated),
        "request_throughput": ("requests/sec", a_second(len(served))),
        "output_token_throughput": ("tokens/sec", a_second(generated)),
        "total_token_throughput": ("tokens/sec", a_second(prompt + generated)),
    }


def _spread(figure: str, values: Iterable[float]) -> dict[str, Any]:
    column = np.array(list(values), dtype=float)
    levels = np.percentile(column, PERCENTILES).tolist()
    return {
        "unit": UNITS[figure],
        "avg": float(column.mean()),
        **{f"p{p}": level for p, level in zip(PERCENTILES, levels, strict=True)},
        "min": float(column.min()),
        "max": float(column.max()),
        "std": float(column.std()),
        "count": len(column),
        "sum": float(column.sum()),
    }
