"""The command `python -m scenarios.trace`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from scenarios.running.outcome import DONE, WRONG
from scenarios.trace import main
from scenarios.workload.sniffing import format_of
from scenarios.workload.trace import load

CSV = "agent,time,cached,append,gen\n<a>,0,0,600,10\n<a>,5,610,50,10\nb,1,64,36,10\n"


@pytest.mark.slow
def test_a_trace_is_told_drawn_and_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, out = tmp_path / "<mine>.csv", tmp_path / "out"
    trace.write_text(CSV)
    assert main([str(trace), "--out", str(out), "--to", "mooncake.jsonl"]) == DONE
    said = capsys.readouterr().out
    assert "turns" in said
    assert "paper, 64K" in said
    told = json.loads((out / "trace.json").read_text())
    assert told["format"] == "turns"
    assert told["figures"]["sharing"] == 1
    page = (out / "trace.html").read_text()
    assert "&lt;mine&gt;" in page
    assert "<mine>" not in page
    converted = load(out / "mooncake.jsonl", "mooncake")
    assert [one.turns for one in converted] == [one.turns for one in load(trace, "turns")]


ROWS: list[tuple[str, Any]] = [
    ("weka", {"id": "c", "block_size": 64, "requests": []}),
    ("mooncake", {"input_length": 1, "output_length": 1, "hash_ids": [1], "timestamp": 0}),
    ("dynamo", {"timestamp": 0, "event": {"event_type": "request_end"}}),
    ("dynamo", {"event_type": "request_end", "schema": "dynamo.agent.trace.v1"}),
    ("mini-swe-agent", {"session": "s", "turns": [{"in": 1, "append": 1}]}),
    ("kv-cache-tester", {"session": "s", "turns": [{"in": 1, "par": -1}]}),
    ("turns", {"gen": 1, "append": 1, "cached": 0, "time": 0, "agent": "a"}),
]


@pytest.mark.parametrize(("format", "row"), ROWS)
def test_a_format_is_told_by_its_first_row(tmp_path: Path, format: str, row: Any) -> None:
    path = tmp_path / "trace"
    path.write_bytes(gzip.compress(json.dumps(row).encode() + b"\n"))
    assert format_of(path) == format
    path.write_text(json.dumps(row, indent=1))
    assert format_of(path) == format


@pytest.mark.parametrize("content", ["", "{}", "a,b\n1,2\n", "{oops", "[1]"])
def test_what_is_in_no_format_is_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = tmp_path / "trace"
    path.write_text(content)
    assert main([str(path)]) == WRONG
    [line] = capsys.readouterr().err.splitlines()
    assert str(path) in line


def test_a_conversion_needs_a_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--to", "weka.jsonl"]) == WRONG
    assert "--to" in capsys.readouterr().err
