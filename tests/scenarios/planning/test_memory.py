"""What asks for more memory than is free is refused with a number before any is taken."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from plan.errors import ScenarioError
from scenarios.configuration.loading import load_scenario
from scenarios.planning import memory
from scenarios.planning.trajectories import make_trajectories
from scenarios.run import main
from scenarios.running.outcome import WRONG
from topology import machine

ASKED = {
    "engine": "simulate",
    "cluster": {"slice": "1/8"},
    "workload": {"source": {"generator": "32K"}, "agents": 2},
}


def scenario_file(directory: Path, **changes: object) -> Path:
    path = directory / "case.yaml"
    path.write_text(yaml.safe_dump(ASKED | changes))
    return path


def with_free(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    monkeypatch.setattr(machine, "free_bytes", lambda: int(size))


@pytest.mark.slow
@pytest.mark.parametrize("key", ["workload.agents=1000000000", "workload.agents=50000000"])
def test_agents_without_number_are_refused_in_little_memory(tmp_path: Path, key: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.run", str(scenario_file(tmp_path)), "--set", key],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30)),
    )
    assert done.returncode == WRONG, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("error: workload.agents: ")


def test_the_refusal_says_how_many_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 1e9)
    with pytest.raises(ScenarioError, match="write at most") as caught:
        make_trajectories(load_scenario(scenario_file(tmp_path), ["workload.agents=1000000"]))
    most = int(caught.value.remedy.split()[3])
    assert 1 <= most < 1_000_000
    make_trajectories(load_scenario(scenario_file(tmp_path), [f"workload.agents={min(most, 50)}"]))


@pytest.mark.parametrize("size", [3e8, 1e9, 4e9])
def test_what_is_said_to_do_is_let_through_and_one_more_is_not(
    monkeypatch: pytest.MonkeyPatch, size: float
) -> None:
    with_free(monkeypatch, size)
    with pytest.raises(ScenarioError) as caught:
        memory.check_agents(10**9, 60, 10)
    most = int(caught.value.remedy.split()[3])
    memory.check_agents(most, 60, 10)
    with pytest.raises(ScenarioError):
        memory.check_agents(most + 1, 60, 10)


def test_the_paper_s_full_size_needs_less_than_four_gigabytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_free(monkeypatch, 4e9)
    memory.check_agents(2048, 157, 157)


def test_more_points_at_once_than_memory_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_free(monkeypatch, 1e9)
    path = scenario_file(tmp_path, sweep={"seed": [1, 2]})
    assert main([str(path), "--jobs", "100000", "--out", str(tmp_path / "out")]) == WRONG
    assert "--jobs: 100000" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_systems_without_number_are_refused(tmp_path: Path) -> None:
    inline = [{"name": f"s{i}"} for i in range(33)]
    with pytest.raises(ScenarioError, match=r"systems: 33 .*at most 32"):
        load_scenario(scenario_file(tmp_path, systems=inline))
