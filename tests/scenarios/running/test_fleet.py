"""Claims: what a fleet does is the same wherever it is done, and lost workers cost nothing."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from plan.errors import MachineError, RunError, ScenarioError
from scenarios.configuration.loading import load_scenario
from scenarios.planning.points import load_points
from scenarios.reproduction.comparison import Measured
from scenarios.running import side_runs as runs_elsewhere
from scenarios.running.cases import measure, measured
from scenarios.running.far_end import at_far_end
from scenarios.running.fleet import Fleet, Here, Shard, fleet, shard
from scenarios.running.outcome import DONE
from scenarios.running.side_runs import Run, side_runs
from scenarios.running.sweep import run_sweep
from tests.scenarios.commands import TINY

FEW = ["workload.agents=2", "engine=simulate", "systems=[basic]"]


@pytest.fixture(scope="module")
def pair() -> Iterator[Fleet]:
    pytest.importorskip("distributed", reason="the extra fleet is not installed")
    with fleet("local:2", 1) as found:
        yield found


def listening() -> dict[str, str]:
    """Addresses at which this process and those that it began wait for connections."""
    psutil = pytest.importorskip("psutil")
    mine = psutil.Process()
    return {
        f"{process.pid}:{entry.laddr.port}": entry.laddr.ip
        for process in (mine, *mine.children(recursive=True))
        for entry in process.net_connections("inet")
        if entry.status == psutil.CONN_LISTEN
    }


@pytest.mark.slow
def test_a_cluster_of_ones_own_is_for_this_machine_alone_and_beside_others(pair: Fleet) -> None:
    with fleet("local:1", 1) as other:
        assert (pair.places, other.places) == (2, 1)
        found = listening()
    assert len(found) >= 5, "two schedulers and their workers"
    assert set(found.values()) == {"127.0.0.1"}


@pytest.mark.slow
def test_a_lost_workers_cases_are_measured_by_others(pair: Fleet, tmp_path: Path) -> None:
    scenarios = {
        seed: load_scenario(TINY, [*FEW, "systems=[oracle]", f"seed={seed}"]) for seed in range(5)
    }
    ended = measured(scenarios, tmp_path, pair)
    found = dict([next(ended)])
    lost = kill_one(pair)  # while they are at work on the next two
    found |= dict(ended)
    assert lost not in pids(pair)
    for seed, result in found.items():
        assert isinstance(result, Measured)
        if seed < 2:
            here = measure(scenarios[seed])
            assert (result.jct_s, result.ttft_mean_s) == (here.jct_s, here.ttft_mean_s)
    assert set(found) == set(scenarios)


@pytest.mark.slow
def test_a_sweep_that_loses_a_worker_leaves_the_bytes_of_one_process(
    pair: Fleet, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(TINY.read_text() + "sweep: {workload.agents: [1, 2, 3]}\n")
    overrides = ["engine=simulate", "systems=[oracle]"]
    scenario, points = load_scenario(path, overrides), load_points(path, overrides)
    here, there = tmp_path / "here", tmp_path / "there"
    assert run_sweep(scenario, points, here, Here(1)) == DONE
    assert run_sweep(scenario, points, there, Losing(pair)) == DONE
    assert (here / "sweep.json").read_bytes() == (there / "sweep.json").read_bytes()
    for point in points:
        assert figures(here / "points" / point.directory) == figures(
            there / "points" / point.directory
        )


class Losing:
    """A cluster that loses a worker once the first task is done, and others are at work."""

    elsewhere = True

    def __init__(self, pair: Fleet) -> None:
        self._pair = pair
        self.places = pair.places

    def do(
        self, task: Callable[[Any], Any], items: Sequence[Any], needs: str | None = None
    ) -> Iterator[tuple[Any, Any]]:
        ended = self._pair.do(task, items, needs)
        yield next(ended)
        lost = kill_one(self._pair)
        yield from ended
        assert lost not in pids(self._pair)


def pids(pair: Fleet) -> set[int]:
    """The processes of its workers."""
    return set(pair._client.run(os.getpid).values())  # type: ignore[attr-defined]


def kill_one(pair: Fleet) -> int:
    lost = min(pids(pair))
    os.kill(lost, signal.SIGKILL)
    return lost


def figures(run: Path) -> dict[str, Any]:
    """A run's summary without what the wall clock says."""
    found: dict[str, Any] = json.loads((run / "summary.json").read_bytes())
    for one in found["systems"].values():
        assert one.pop("wall_s") > 0
    return found


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
    assert figures(here.out) == figures(there.out)


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
