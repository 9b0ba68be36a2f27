"""What `vllm bench serve --save-result --save-detailed` writes of a run, with its field names.

Of a request vLLM also notes the time between every two tokens (`itls`). Here the first of
them is known and the mean of the others, so the means are there and what needs each is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from plan.records import RequestRecord
from scenarios.exports.rows import rows
from scenarios.results.readable_json import write_json
from scenarios.results.saved_run import SavedRun, SavedSystem

FILE = "vllm_bench.json"
PRODUCER = "dualpath-testbed"


def write(run: SavedRun, system: SavedSystem, directory: Path) -> list[Path]:
    """Write `vllm_bench.json`; returns what was written."""
    path = directory / FILE
    write_json(path, _result(run, system))
    return [path]


def _result(run: SavedRun, system: SavedSystem) -> dict[str, Any]:
    records = [record for record in system.records if record.done_s is not None]
    served = [record for record in records if record.error is None]
    begun_s = min((r.submit_s for r in records), default=0.0)
    duration_s = max((_end_s(r) for r in records), default=0.0) - begun_s
    prompt = sum(r.prompt_tokens for r in served)
    generated = sum(r.gen_tokens for r in served)
    a_second = 1 / duration_s if duration_s else 0.0
    return {
        "date": datetime.fromisoformat(run.provenance.started).strftime("%Y%m%d-%H%M%S"),
        "endpoint_type": PRODUCER,
        "backend": PRODUCER,
        "label": system.name,
        "model_id": run.plan.model.name,
        "tokenizer_id": None,
        "num_prompts": len(records),
        # as `--metadata` adds it; vLLM's plots take it by `--gpu-count-var gpus`
        "gpus": sum(node.gpus for node in run.plan.fabric.engine_nodes),
        # agents submit a turn when the one before is done
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": None,
        "duration": duration_s,
        "completed": len(served),
        "failed": len(records) - len(served),
        "total_input_tokens": prompt,
        "total_output_tokens": generated,
        "request_throughput": len(served) * a_second,
        "request_goodput": None,
        "output_throughput": generated * a_second,
        "total_token_throughput": (prompt + generated) * a_second,
        "max_concurrent_requests": _most_at_once(records),
        **_spread("ttft", [_first_s(r) for r in served]),
        **_spread("tpot", [_later_s(r) / (r.gen_tokens - 1) for r in served if r.gen_tokens > 1]),
        **_between([r for r in served if r.gen_tokens > 1]),
        **_spread("e2el", [_end_s(r) - r.submit_s for r in served]),
        "input_lens": [r.prompt_tokens for r in records],
        "output_lens": [r.gen_tokens if r.error is None else 0 for r in records],
        "ttfts": [_first_s(r) if r.error is None else 0.0 for r in records],
        "latencies": [_end_s(r) - r.submit_s for r in records],
        "start_times": [r.submit_s for r in records],
        "errors": [r.error or "" for r in records],
    }


def _end_s(record: RequestRecord) -> float:
    assert record.done_s is not None
    return record.done_s


def _first_s(record: RequestRecord) -> float:
    return (_end_s(record) if record.first_s is None else record.first_s) - record.submit_s


def _later_s(record: RequestRecord) -> float:
    """From the first token to the last."""
    return _end_s(record) - record.submit_s - _first_s(record)


def _spread(name: str, values_s: Sequence[float]) -> dict[str, float]:
    """As vLLM does it, zeros for nothing."""
    column = 1e3 * np.array(values_s or [0.0])
    return {
        f"mean_{name}_ms": float(column.mean()),
        f"median_{name}_ms": float(np.median(column)),
        f"std_{name}_ms": float(column.std()),
        f"p99_{name}_ms": float(np.percentile(column, 99)),
    }


def _between(records: Sequence[RequestRecord]) -> dict[str, float]:
    """The mean over all tokens of the time since the one before."""
    gaps = sum(record.gen_tokens - 1 for record in records)
    return {"mean_itl_ms": 1e3 * sum(map(_later_s, records)) / gaps if gaps else 0.0}


def _most_at_once(records: Sequence[RequestRecord]) -> int:
    return max(rows([(r.submit_s, _end_s(r)) for r in records]), default=-1) + 1
