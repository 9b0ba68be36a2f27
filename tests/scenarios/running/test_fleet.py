"""Claims: what a fleet does is the same wherever it is done, and lost workers cost nothing."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plan.errors import MachineError, RunError, ScenarioError
from scenarios.configuration.loading import load_scenario
from scenarios.reproduction.comparison import Measured
from scenarios.running import side_runs as runs_elsewhere
from scenarios.running.cases import measure, measured
from scenarios.running.far_end import at_far_end
from scenarios.running.fleet import Fleet, Here, Shard, fleet, shard
from scenarios.running.outcome import DONE
from scenarios.running.side_runs import Run, side_runs
from tests.scenarios.commands import TINY

FEW = ["workload.agents=2", "engine=simulate", "systems=[basic]"]


@pytest.fixture(scope="module")
def pair() -> Iterator[Fleet]:
    pytest.importorskip("distributed", reason="the extra fleet is not installed")
    with fleet("local:2", 1) as found:
        yield found


@pytest.mark.slow
def test_a_lost_workers_cases_are_measured_by_others(pair: Fleet, tmp_path: Path) -> None:
    scenarios = {
        seed: load_scenario(TINY, [*FEW, "systems=[oracle]", f"seed={seed}"]) for seed in range(5)
    }
    ended = measured(scenarios, tmp_path, pair)
    found = dict([next(ended)])
    workers = pair._client.run(os.getpid)  # type: ignore[attr-defined]
    lost = min(workers.values())
    os.kill(lost, signal.SIGKILL)  # while they are at work on the next two
    found |= dict(ended)
    assert lost not in pair._client.run(os.getpid).values()  # type: ignore[attr-defined]
    for seed, result in found.items():
        assert isinstance(result, Measured)
        if seed < 2:
            here = measure(scenarios[seed])
            assert (result.jct_s, result.ttft_mean_s) == (here.jct_s, here.ttft_mean_s)
    assert set(found) == set(scenarios)


@pytest.mark.slow
def test_a_task_whose_process_ends_early_fails_alone(pair: Fleet) -> None:
    (ended,) = pair.do(os._exit, [3])
    assert isinstance(ended[1], RunError)
    assert str(ended[1]) == "its process ended early, with status 3"
    assert list(pair.do(abs, [-4])) == [(-4, 4)]


@pytest.mark.slow
def test_runs_elsewhere_leave_the_files_of_runs_here(pair: Fleet, tmp_path: Path) -> None:
    scenario = load_scenario(TINY, FEW)
    here, there = Run(scenario, tmp_path / "here" / "a"), Run(scenario, tmp_path / "there" / "a")
    (own,) = side_runs([here], Here(1))
    (other,) = side_runs([there], pair)
    assert own[1].status == other[1].status == DONE
    names = {path.relative_to(here.out) for path in here.out.rglob("*") if path.is_file()}
    assert names == {p.relative_to(there.out) for p in there.out.rglob("*") if p.is_file()}
    for name in ("scenario.yaml", "plan.json", "systems/basic/requests.jsonl"):
        assert (here.out / name).read_bytes() == (there.out / name).read_bytes(), name
    figures = [json.loads((run.out / "summary.json").read_bytes()) for run in (here, there)]
    for one in figures:
        del one["systems"]["basic"]["wall_s"]
    assert figures[0] == figures[1]


def test_a_name_that_leads_elsewhere_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="lies elsewhere"):
        runs_elsewhere._put({"../outside": b"x"}, tmp_path / "run")
    assert not (tmp_path / "outside").exists()


@pytest.mark.slow
def test_another_revision_is_refused_and_named() -> None:
    error = pickle.loads(at_far_end(pickle.dumps((abs, 1)), "another"))
    assert isinstance(error, RunError)
    assert "has another revision of the testbed" in str(error)


@pytest.mark.parametrize("given", ["local:0", "local:", "local:-1", "http://host:1", "host:1"])
def test_what_is_no_cluster_is_refused(given: str) -> None:
    with pytest.raises(ScenarioError, match="--cluster"), fleet(given, 1):
        pass


def test_root_does_not_go_where_anybody_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ScenarioError, match="open to anybody"), fleet("tcp://127.0.0.1:1", 1):
        pass


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "scenarios.running.dask_fleet", raising=False)
    with pytest.raises(MachineError, match=r"dualpath-testbed\[fleet\]"), fleet("local:2", 1):
        pass


def test_parts_have_every_item_once() -> None:
    items = list(range(10))
    parts = [Shard(number, 3).of(items) for number in (1, 2, 3)]
    assert sorted(item for part in parts for item in part) == items
    assert shard("2/3") == Shard(2, 3)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/2/3", "-1/3"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no part of several"):
        shard(text)
