"""Claims: Dynamo's request and agent traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plan.errors import TraceError
from plan.workload import Trajectory, Turn
from scenarios.workload.trace import load

BASE_MS = 1_777_312_800_000


def read(tmp_path: Path, *records: dict[str, Any]) -> list[Trajectory]:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return load(path, "dynamo", shared=True)


def ended(
    received_ms: float, over_ms: float, prompt: int, hashes: list[int] | None, **context: str
) -> dict[str, Any]:
    replay = {"trace_block_size": 64, "input_length": prompt, "input_sequence_hashes": hashes}
    return {
        "schema": "dynamo.request.trace.v1",
        "event_type": "request_end",
        "event_time_unix_ms": BASE_MS + over_ms,
        **({"agent_context": {"session_type_id": "x", **context}} if context else {}),
        "request": {
            "request_id": "r",
            "input_tokens": prompt,
            "output_tokens": 7,
            "request_received_ms": BASE_MS + received_ms,
            **({} if hashes is None else {"replay": replay}),
        },
    }


def test_requests_of_a_trajectory_are_its_turns_in_the_order_they_came(tmp_path: Path) -> None:
    (agent,) = read(
        tmp_path,
        ended(5000, 6000, 192, [1, 2, 3], session_id="run", trajectory_id="t"),
        ended(0, 2000, 128, [1, 2], session_id="run", trajectory_id="t"),
        {"event_type": "tool_end", "event_time_unix_ms": 1, "tool": {"tool_call_id": "c"}},
    )
    assert agent.name == "t"
    assert agent.turns == (Turn(128, 7), Turn(57, 7, None, 3.0))


def test_a_child_trajectory_shares_its_parents_prefix(tmp_path: Path) -> None:
    parent, child = read(
        tmp_path,
        ended(0, 1000, 256, [1, 2, 3, 4], session_id="run", trajectory_id="p"),
        ended(1500, 1600, 130, [1, 9, 10], session_id="run", trajectory_id="c"),
    )
    assert parent.preloaded == 0
    assert child == Trajectory(
        name="c", turns=(Turn(66, 7),), preloaded=64, start_s=1.5, stems=((0, 64),)
    )
    assert parent.stems == ((0, 64),)


def test_sinks_wrap_records_and_hashes_may_be_off(tmp_path: Path) -> None:
    (agent,) = read(
        tmp_path,
        {"timestamp": 1, "event": ended(0, 1000, 100, None, session_id="s")},
        {"timestamp": 2, "event": ended(1000, 1000, 300, None, session_id="s")},
    )
    assert agent.turns == (Turn(100, 7), Turn(193, 7))


def test_a_request_without_context_is_a_trajectory_of_its_own(tmp_path: Path) -> None:
    names = [agent.name for agent in read(tmp_path, ended(0, 1, 64, [1]), ended(9, 9, 64, [1]))]
    assert names == ["trace.jsonl:1", "trace.jsonl:2"]


def test_a_request_that_does_not_say_how_long_it_is_is_refused(tmp_path: Path) -> None:
    record = ended(0, 1, 64, None)
    del record["request"]["input_tokens"]
    with pytest.raises(TraceError, match="1: neither replay nor input_tokens"):
        read(tmp_path, record)
