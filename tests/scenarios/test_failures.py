"""Whatever fails, the user sees one line, a status, and the results that were there."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from nodes.engines.decode_node import DecodeNode
from nodes.virtual_run import VirtualRun, simulate
from nodes.worlds.virtual.loop import run as run_virtually
from plan.deployment import System
from plan.errors import RunError
from scenarios import validate
from scenarios.configuration.schema import Scenario
from scenarios.run import main
from scenarios.running import execution, simulation
from scenarios.running.execution import run_scenario
from scenarios.running.outcome import DONE, FAILED, Outcome
from tests.machine_state import eventually
from tests.scenarios.commands import TINY, await_line, started

pytestmark = pytest.mark.slow

SHORT = ("--engine", "simulate", "--set", "workload.agents=4")
NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

Fails = Callable[[], object]


def run(out: Path, *arguments: str) -> int:
    return main([str(TINY), "--out", str(out), *SHORT, *arguments])


def only_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that says what went wrong; nothing looks like a traceback."""
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    [line] = [line for line in said.err.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


def summary(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "summary.json").read_bytes())
    return found


def deadlock() -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    run_virtually(wait_for_ever())


def a_bug_in_a_task() -> None:
    async def fail() -> None:
        raise KeyError("pe7")

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    asyncio.run(group())


def raising(error: Exception) -> Fails:
    def fail() -> None:
        raise error

    return fail


@pytest.fixture
def second_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fails], None]:
    """Have something happen when the second system, DualPath, is served."""

    def install(fails: Fails) -> None:
        def serve(plan: Any, system: System, *rest: Any) -> VirtualRun:
            if system.name == "dualpath":
                fails()
            return simulate(plan, system, *rest)

        monkeypatch.setattr(simulation, "simulate", serve)

    return install


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (deadlock, "deadlock at model time 0 s"),
        (a_bug_in_a_task, "KeyError: 'pe7'"),
        (raising(RunError("pe0\nis gone")), "pe0 is gone"),
        (raising(NO_SPACE), "No space left on device"),
        (raising(MemoryError()), "out of memory"),
        (raising(RecursionError("too deep")), "RecursionError: too deep"),
    ],
)
def test_what_fails_in_the_second_system_leaves_the_first_one_s_results(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    second_fails: Callable[[Fails], None],
    fails: Fails,
    said: str,
) -> None:
    second_fails(fails)
    assert run(tmp_path) == FAILED
    line = only_error(capsys)
    assert line.startswith("dualpath: ")
    assert said in line
    found = summary(tmp_path)
    assert list(found["systems"]) == ["basic"]
    assert found["systems"]["basic"]["completed"] == 8
    assert (found["unserved"], found["error"]) == (["dualpath", "oracle"], line)
    page = (tmp_path / "report.html").read_text()
    assert "Without figures: DualPath, the Oracle." in page
    assert "<strong>Failed.</strong> dualpath: " in page


def test_a_mistake_leaves_its_traceback_in_the_run_s_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], second_fails: Callable[[Fails], None]
) -> None:
    second_fails(a_bug_in_a_task)
    run(tmp_path)
    assert only_error(capsys).endswith(f"; traceback in {tmp_path / 'error.log'}")
    assert "KeyError: 'pe7'" in (tmp_path / "error.log").read_text()


def test_a_mistake_in_a_simulated_node_names_the_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: DecodeNode, message: object) -> None:
        raise KeyError("layer 7")

    monkeypatch.setattr(DecodeNode, "handle", fail)
    assert run(tmp_path) == FAILED
    line = only_error(capsys)
    assert line.startswith("basic: KeyError: 'layer 7' at ")
    assert " in node de0; traceback in " in line


def test_what_fails_before_anything_is_served_is_a_line_and_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "write_plan", lambda *_: raising(NO_SPACE)())
    assert run(tmp_path) == FAILED
    assert only_error(capsys) == f"{tmp_path}: No space left on device"
    assert not (tmp_path / "report.html").exists()


def test_a_report_that_can_not_be_written_leaves_every_system_s_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.reports.report.write_report", lambda *_: raising(NO_SPACE)())
    assert run(tmp_path) == FAILED
    assert only_error(capsys) == f"{tmp_path}: No space left on device"
    assert len(list(tmp_path.glob("systems/*/requests.jsonl"))) == 3


def test_a_mistake_before_the_run_has_a_directory_is_a_line_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("scenarios.run.find_taps", lambda *_: raising(KeyError("x"))())
    assert run(tmp_path / "run") == FAILED
    line = only_error(capsys)
    assert line.startswith("KeyError: 'x' at scenarios/run.py:")
    assert Path(line.rpartition(" in ")[2]).parent == tmp_path


# sweeps


@pytest.fixture
def three_points(tmp_path: Path) -> Path:
    asked = yaml.safe_load(TINY.read_text())
    asked["workload"]["source"] = {"generator": "32K"}
    path = tmp_path / "three.yaml"
    path.write_text(yaml.safe_dump(asked | {"sweep": {"workload.agents": [2, 3, 4]}}))
    return path


def points(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / "sweep.json").read_bytes())["points"]
    return found


def test_a_point_that_fails_half_way_is_listed_with_its_line_and_its_results(
    three_points: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def serve(plan: Any, system: System, *rest: Any) -> VirtualRun:
        if system.name == "dualpath" and len(plan.trajectories) == 3:
            deadlock()
        return simulate(plan, system, *rest)

    monkeypatch.setattr(simulation, "simulate", serve)
    out = tmp_path / "out"
    options = ("--out", str(out), "--engine", "simulate", "--jobs", "1")
    assert main([str(three_points), *options]) == FAILED
    line = only_error(capsys)
    assert line.startswith("02-agents-3: dualpath: deadlock")
    assert [len(point["systems"]) for point in points(out)] == [3, 1, 3]
    assert points(out)[1]["error"] == line.removeprefix("02-agents-3: ")
    assert "deadlock at model time" in (out / "sweep.html").read_text()


def test_a_worker_that_is_killed_fails_its_point_alone(three_points: Path, tmp_path: Path) -> None:
    """Two long points, whose workers are killed, before a short one."""
    asked = yaml.safe_load(three_points.read_text())
    asked["workload"]["turns"]["count"] = 10
    asked["sweep"] = {"workload.agents": [400, 401, 2]}
    three_points.write_text(yaml.safe_dump(asked))
    out = tmp_path / "out"
    options = ("--engine", "simulate", "--jobs", "2")
    with started(three_points, out, *options) as process:
        await_line(process, "[0 of 3 points done] 2 at once")
        assert eventually(lambda: len(list(out.glob("points/*/plan.json"))) == 2, within_s=60)
        for worker in workers(process.pid):
            os.kill(worker, signal.SIGKILL)
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(60) == FAILED
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    killed = "its process was killed by SIGKILL (out of memory?)"
    assert sorted(errors) == [
        f"error: {point}: {killed}" for point in ("01-agents-400", "02-agents-401")
    ]
    assert [len(point["systems"]) for point in points(out)] == [0, 0, 3]
    assert (out / "sweep.html").read_text().count(killed) == 2


def workers(parent: int) -> list[int]:
    """Processes of a sweep that run its points."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


# validation


def test_a_pair_that_fails_keeps_no_other_from_being_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The "emulated" runs are simulated ones here."""

    def run_simulated(scenario: Scenario, out: Path) -> Outcome:
        if scenario.name == "first" and out.name == "emulate":
            return Outcome(FAILED, error="basic: pe0 was killed by SIGKILL")
        return run_scenario(scenario, out)

    def simulated(scenario: Scenario, out: Path) -> Outcome:
        return run_simulated(msgspec.structs.replace(scenario, engine="simulate"), out)

    monkeypatch.setattr(validate, "enter_sandbox", lambda: None)
    monkeypatch.setattr(validate, "run_scenario", simulated)
    paths = []
    for name in ("first", "second"):
        asked = yaml.safe_load(TINY.read_text()) | {"name": name, "systems": ["basic"]}
        asked["workload"]["agents"] = 4
        paths.append(tmp_path / f"{name}.yaml")
        paths[-1].write_text(yaml.safe_dump(asked))
    out = tmp_path / "out"
    options = ("--out", str(out), "--repeats", "1")
    assert validate.main([*map(str, paths), *options]) == FAILED
    assert only_error(capsys) == "first: basic: pe0 was killed by SIGKILL"
    first, second = json.loads((out / "validation.json").read_bytes())
    assert (first["holds"], first["error"]) == (False, "basic: pe0 was killed by SIGKILL")
    assert second["holds"]
    assert "Failed: basic: pe0 was killed by SIGKILL" in (out / "validation.html").read_text()


def test_a_run_whose_every_system_is_served_has_no_error(tmp_path: Path) -> None:
    assert run(tmp_path) == DONE
    assert not {"error", "unserved"} & set(summary(tmp_path))
