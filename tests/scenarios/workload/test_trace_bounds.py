"""Traces from anywhere: unpacked line by line, within bounds, from plain files alone."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from plan.errors import TraceError
from scenarios.workload import trace_files
from scenarios.workload.trace import load
from scenarios.workload.trace_formats import Format

GOOD = {"input_length": 1, "output_length": 1, "hash_ids": [1]}


def packed(path: Path, chunk: bytes, times: int = 1) -> Path:
    path.write_bytes(gzip.compress(chunk) * times)
    return path


def refusal(path: Path, format: Format = "mooncake") -> str:
    with pytest.raises(TraceError) as caught:
        load(path, format)
    [line] = str(caught.value).splitlines()
    assert str(path) in line
    return line


@pytest.mark.slow
@pytest.mark.parametrize("unit", [b"\n" * 2**20, b" " * 2**20])
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_in_little_memory(
    tmp_path: Path, unit: bytes
) -> None:
    path = packed(tmp_path / "bomb.gz", unit, times=2700)
    assert path.stat().st_size < 4 * 2**20
    script = (
        "import sys; from pathlib import Path; from scenarios.workload.trace import load; "
        "load(Path(sys.argv[1]), 'mooncake')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)),
    )
    assert "MemoryError" not in done.stderr
    assert "bomb.gz" in done.stderr.splitlines()[-1]
    assert "take a part of it" in done.stderr.splitlines()[-1]


def test_a_trace_that_unpacks_to_more_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_files, "MAX_UNPACKED_BYTES", 2**20)
    path = packed(
        tmp_path / "long.gz", json.dumps(GOOD).encode() + b" " * 1000 + b"\n", times=2**11
    )
    assert "more than 1 MiB unpacked" in refusal(path)


def test_a_line_longer_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_files, "MAX_LINE_BYTES", 2**20)
    path = packed(tmp_path / "line.gz", json.dumps(GOOD).encode() + b" " * 2**21)
    assert ":1: longer than 1 MiB" in refusal(path)


def test_a_session_of_too_many_turns_is_refused(tmp_path: Path) -> None:
    turns = [{"t": 0, "in": 100, "out": 1, "hit": 0, "par": -1}] * 10_001
    path = tmp_path / "turns.jsonl"
    path.write_text(json.dumps({"session": "s", "turns": turns}))
    assert "turns" in refusal(path, "kv-cache-tester")


def test_a_trace_of_too_many_turns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_files, "MAX_TURNS", 100)
    path = tmp_path / "many.jsonl"
    path.write_text("\n".join(json.dumps(GOOD | {"hash_ids": [i]}) for i in range(101)))
    assert "more than 100 turns" in refusal(path)


@pytest.mark.parametrize("field", ["input_length", "output_length"])
def test_lengths_beyond_any_context_are_refused(tmp_path: Path, field: str) -> None:
    path = tmp_path / "tokens.jsonl"
    path.write_text(json.dumps(GOOD | {field: 10**12}))
    assert f"$.{field}" in refusal(path)


@pytest.mark.parametrize("depth", [200, 100_000])
def test_subagents_nested_without_end_are_refused(tmp_path: Path, depth: int) -> None:
    opening = '{"type":"subagent","agent_id":"a","requests":['
    nested = opening * depth + "]}" * depth
    path = tmp_path / "nested.json"
    path.write_text('{"id":"c","block_size":64,"requests":[' + nested + "]}")
    assert "nested too deeply" in refusal(path, "kv-cache-tester-raw")


def test_an_unknown_field_nested_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nested.jsonl"
    path.write_text('{"x":' + "[" * 100_000 + "]" * 100_000 + "}")
    assert "nested too deeply" in refusal(path)


# folders


def conversation(path: Path) -> Path:
    request = {"type": "n", "in": 70, "out": 3, "hash_ids": [9]}
    path.write_text(json.dumps({"id": path.stem, "block_size": 64, "requests": [request]}))
    return path


def test_a_link_to_a_file_of_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.json").symlink_to(conversation(tmp_path / "a.json").name)
    assert len(load(tmp_path, "kv-cache-tester-raw")) == 2


@pytest.mark.parametrize("target", ["../outside.json", "/etc/hostname"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    conversation(tmp_path / "outside.json")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.json").symlink_to(target)
    assert "leads out of" in refusal(folder, "kv-cache-tester-raw")


@pytest.mark.timeout(20)
def test_a_pipe_among_the_files_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    assert "is no plain file" in refusal(tmp_path, "kv-cache-tester-raw")


@pytest.mark.timeout(20)
def test_a_device_is_refused() -> None:
    assert "is no plain file" in refusal(Path("/dev/zero"))


def test_a_folder_of_too_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_files, "MAX_FILES", 3)
    for name in "abcd":
        conversation(tmp_path / f"{name}.json")
    assert "more than 3 files" in refusal(tmp_path, "kv-cache-tester-raw")


def test_the_files_of_a_folder_share_one_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = conversation(tmp_path / "a.json").stat().st_size
    conversation(tmp_path / "b.json")
    monkeypatch.setattr(trace_files, "MAX_UNPACKED_BYTES", size + 1)
    assert "unpacked" in refusal(tmp_path, "kv-cache-tester-raw")


def test_members_of_a_gzip_are_read_on(tmp_path: Path) -> None:
    line = json.dumps(GOOD).encode() + b"\n"
    path = tmp_path / "members.gz"
    path.write_bytes(gzip.compress(line) + gzip.compress(line.replace(b"[1]", b"[2]")))
    assert len(load(path, "mooncake")) == 2
