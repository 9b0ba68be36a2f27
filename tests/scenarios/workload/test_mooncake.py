"""Claims: Mooncake's rows with sessions, as Dynamo and AIPerf write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plan.errors import TraceError
from plan.workload import Trajectory, Turn
from scenarios.workload.trace import load


def read(tmp_path: Path, *rows: dict[str, Any]) -> list[Trajectory]:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load(path, "mooncake", shared=True)


def row(prompt: int, gen: int = 10, ids: list[int] | None = None, **others: Any) -> dict[str, Any]:
    hashed = {} if ids is None else {"hash_ids": ids}
    return {"input_length": prompt, "output_length": gen, **hashed, **others}


def test_without_block_ids_a_sessions_rows_are_what_its_turns_append(tmp_path: Path) -> None:
    one, two = read(
        tmp_path,
        row(50, session_id="a", timestamp=1000),
        row(25, session_id="b", timestamp=20_000),
        row(60, session_id="a", delay=10_000),
        row(70, 0, session_id="a", delay_ms=1, tool_wait_ms=499),
    )
    assert one.turns == (Turn(50, 10), Turn(60, 10, None, 10.0), Turn(70, 1, None, 0.5))
    assert (one.name, one.start_s) == ("a", 1.0)
    assert (two.name, two.start_s, two.turns) == ("b", 20.0, (Turn(25, 10),))


def test_blocks_of_another_size_are_found_out(tmp_path: Path) -> None:
    (agent,) = read(
        tmp_path,
        row(130, ids=[1, 2, 3], session_id="a", timestamp=0),
        row(200, ids=[1, 2, 4, 5], session_id="a", timestamp=1500),
    )
    assert agent.turns == (Turn(130, 10), Turn(60, 10, None, 1.5))


def test_a_child_finds_its_parents_prefix_and_begins_no_sooner(tmp_path: Path) -> None:
    parent, child = read(
        tmp_path,
        row(256, ids=[1, 2, 3, 4], session_id="p", request_id="p1", timestamp=3000),
        row(256, ids=[1, 2, 8, 9], session_id="c", wait_for=["p1"], delay=100),
        row(320, ids=[1, 2, 3, 4, 5], session_id="p", wait_for=["p1"], delay=0, tool_wait_ms=2000),
    )
    assert child == Trajectory(
        name="c", turns=(Turn(128, 10),), preloaded=128, start_s=3.0, stems=((0, 128),)
    )
    assert parent.stems == ((0, 128),)
    assert parent.preloaded == 0
    assert parent.turns == (Turn(256, 10), Turn(54, 10, None, 2.0))


def test_a_rebuilt_session_that_branches_off_another_has_its_prefix(tmp_path: Path) -> None:
    first, second = read(
        tmp_path,
        row(1024, ids=[1, 2], timestamp=0),
        row(1024, ids=[1, 3], timestamp=10),
        row(1536, ids=[1, 2, 4], timestamp=20),
    )
    assert first.preloaded == 0
    assert second == Trajectory(
        name="mooncake-1", turns=(Turn(512, 10),), preloaded=1024, start_s=0.02, stems=((0, 1024),)
    )
    assert first.stems == ((0, 1024),)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(5)], "1: neither hash_ids nor session_id"),
        ([row(5, session_id="a"), row(5, ids=[1])], "2: session_id: others have one"),
        ([row(5, session_id="a"), row(5, ids=[1], session_id="a")], "2: hash_ids: a has rows with"),
        ([{"text_input": "hello", "output_length": 4}], "1: .*`input_length`"),
    ],
)
def test_what_says_too_little_is_refused(
    tmp_path: Path, rows: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(TraceError, match=said):
        read(tmp_path, *rows)
