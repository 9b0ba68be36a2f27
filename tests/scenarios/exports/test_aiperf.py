"""AIPerf's files: its names and units, figures that follow from the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scenarios.exports import aiperf
from scenarios.results.saved_run import SavedRun, SavedSystem, open_run
from tests.scenarios.saved import saved_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    return open_run(saved_run(tmp_path_factory.mktemp("runs") / "one"))


def written(
    run: SavedRun, system: SavedSystem, place: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    records, statistics = aiperf.write(run, system, place)
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    return lines, json.loads(statistics.read_text())


def test_a_line_is_a_request_with_its_figures(run: SavedRun, tmp_path: Path) -> None:
    system = run.system("dualpath")
    lines, _ = written(run, system, tmp_path)
    assert len(lines) == len(system.records)
    for line, record in zip(lines, system.records, strict=True):
        metadata, metrics = line["metadata"], line["metrics"]
        assert metadata["turn_index"] == record.turn
        assert metadata["x_correlation_id"] == f"agent-{record.agent}"
        assert record.first_s is not None
        assert record.done_s is not None
        taken_ns = metadata["request_end_ns"] - metadata["request_start_ns"]
        assert taken_ns == pytest.approx(1e9 * (record.done_s - record.submit_s), abs=2)
        assert metrics["request_latency"] == {"value": pytest.approx(taken_ns / 1e6), "unit": "ms"}
        between_ms = 1e3 * (record.done_s - record.first_s) / (record.gen_tokens - 1)
        assert metrics["inter_token_latency"]["value"] == pytest.approx(between_ms)
        assert metrics["usage_prompt_cache_read_tokens"]["value"] == record.hit_tokens
        assert {name: m["unit"] for name, m in metrics.items()} == aiperf.UNITS


def test_statistics_are_of_the_lines(run: SavedRun, tmp_path: Path) -> None:
    lines, whole = written(run, run.system("basic"), tmp_path)
    for name in aiperf.UNITS:
        values = [line["metrics"][name]["value"] for line in lines]
        spread = whole[name]
        assert spread["count"] == len(values)
        assert spread["sum"] == pytest.approx(sum(values))
        assert spread["min"] == min(values) <= spread["p50"] <= spread["max"] == max(values)
    assert whole["request_throughput"]["avg"] == pytest.approx(len(lines) / 38.0)
    assert whole["benchmark_duration"] == {"unit": "sec", "avg": pytest.approx(38.0)}
    assert whole["is_complete"]


def test_a_request_that_failed_is_an_error_without_figures(run: SavedRun, tmp_path: Path) -> None:
    system = run.system("basic")
    system.records[0] = msgspec.structs.replace(system.records[0], error="lost")
    lines, whole = written(run, system, tmp_path)
    assert lines[0]["error"] == {"message": "lost"}
    assert lines[0]["metrics"] == {}
    assert whole["error_request_count"]["avg"] == 1
    assert whole["request_count"]["avg"] == len(lines) - 1


def test_a_request_of_one_token_has_no_time_between_tokens(run: SavedRun, tmp_path: Path) -> None:
    system = run.system("basic")
    one = msgspec.structs.replace(system.records[0], gen_tokens=1, second_s=None)
    system.records[:] = [one]
    [line], whole = written(run, system, tmp_path)
    assert "inter_token_latency" not in line["metrics"]
    assert "inter_token_latency" not in whole
