"""vLLM's file: its names, figures that follow from the records."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plan.records import RequestRecord
from scenarios.exports import vllm
from scenarios.results.saved_run import SavedRun, SavedSystem, open_run
from tests.scenarios.saved import saved_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    return open_run(saved_run(tmp_path_factory.mktemp("runs") / "one"))


def written(run: SavedRun, system: SavedSystem, place: Path) -> dict[str, Any]:
    [path] = vllm.write(run, system, place)
    whole: dict[str, Any] = json.loads(path.read_text())
    return whole


def tpot_ms(record: RequestRecord) -> float:
    assert record.first_s is not None
    assert record.done_s is not None
    return 1e3 * (record.done_s - record.first_s) / (record.gen_tokens - 1)


def test_figures_are_of_the_records(run: SavedRun, tmp_path: Path) -> None:
    records = run.system("dualpath").records
    whole = written(run, run.system("dualpath"), tmp_path)
    assert whole["duration"] == pytest.approx(20.0)
    assert whole["completed"] == len(records) == 40
    assert whole["request_throughput"] == pytest.approx(2.0)
    assert whole["total_output_tokens"] == 40 * 102
    assert whole["gpus"] == sum(node.gpus for node in run.plan.fabric.engine_nodes)
    # eight agents, each with one turn at a time
    assert whole["max_concurrent_requests"] == 8
    mean_ms = sum(map(tpot_ms, records)) / 40
    assert whole["mean_tpot_ms"] == pytest.approx(mean_ms)
    # all have the same number of tokens
    assert whole["mean_itl_ms"] == pytest.approx(mean_ms)
    assert whole["median_ttft_ms"] == pytest.approx(1e3 * sorted(whole["ttfts"])[20], rel=1e-6)


def test_what_vllm_plots_of_a_request_is_there_for_each(run: SavedRun, tmp_path: Path) -> None:
    whole = written(run, run.system("basic"), tmp_path)
    for name in ("input_lens", "output_lens", "ttfts", "latencies", "start_times", "errors"):
        assert len(whole[name]) == whole["num_prompts"], name


def test_a_request_that_failed_counts_apart(run: SavedRun, tmp_path: Path) -> None:
    system = run.system("basic")
    system.records[0] = msgspec.structs.replace(system.records[0], error="lost", first_s=None)
    whole = written(run, system, tmp_path)
    assert (whole["completed"], whole["failed"]) == (39, 1)
    assert whole["errors"][0] == "lost"
    assert whole["output_lens"][0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "options", "said"),
    [
        ("plot", ["--var-x", "request_throughput", "--var-y", "p99_ttft_ms"], "Output file"),
        ("plot_pareto", ["--gpu-count-var", "gpus", "--label-by", "label"], "Plotted 2 points"),
    ],
)
def test_vllm_s_own_plots_take_it(
    run: SavedRun, tmp_path: Path, reader: str, options: list[str], said: str
) -> None:
    """Runs side by side are a list in `summary.json`."""
    if importlib.util.find_spec("vllm") is None or importlib.util.find_spec("seaborn") is None:
        pytest.skip("wants `pip install vllm seaborn`, some gigabytes")
    whole = [written(run, run.system(name), tmp_path) for name in ("basic", "dualpath")]
    (tmp_path / "summary.json").write_text(json.dumps(whole))
    command = [sys.executable, "-m", f"vllm.benchmarks.sweep.{reader}", str(tmp_path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said in done.stdout
    assert list(tmp_path.rglob("*.png"))
