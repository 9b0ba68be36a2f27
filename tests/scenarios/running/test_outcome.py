"""Every error has its exit status and its line."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plan.errors import (
    BrokenOff,
    CommandError,
    Deadlock,
    MachineError,
    RunError,
    ScenarioError,
    TestbedError,
    TraceError,
)
from plan.scale import Scale
from scenarios.running.outcome import (
    BROKEN_OFF,
    DONE,
    FAILED,
    LACKING,
    ROOT,
    WRONG,
    concluded,
    explained,
)

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail_with(error: BaseException) -> int:
    def command() -> int:
        raise error

    return concluded(command)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ScenarioError("cluster.cnic", 4, "write more"), WRONG),
        (MachineError("no root", "run with sudo"), LACKING),
        (RunError("pe0 is gone"), FAILED),
        (CommandError(["tc", "qdisc"], 2, "no\nsuch device\n"), FAILED),
        (Deadlock(0.0, [("pe0", "x.py:1 in f")]), FAILED),
        (TraceError("a.gz:1: append"), FAILED),
        (ExceptionGroup("", [MachineError("no root", "run with sudo")]), LACKING),
        (NO_SPACE, FAILED),
        (MemoryError(), FAILED),
        (RecursionError("maximum recursion depth exceeded"), FAILED),
        (KeyError("pe7"), FAILED),
    ],
)
def test_an_error_ends_in_its_status_and_one_line(
    error: Exception,
    status: int,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert fail_with(error) == status
    said = capsys.readouterr()
    [line] = said.err.splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in said.out + said.err


def kinds(root: type[Exception]) -> set[type[Exception]]:
    return {root}.union(*(kinds(kind) for kind in root.__subclasses__()))


def test_the_tree_is_drawn_whole() -> None:
    drawn = (sys.modules[TestbedError.__module__].__doc__ or "").split()
    assert {kind.__name__ for kind in kinds(TestbedError)} <= set(drawn)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BrokenOff()])
def test_what_the_user_ends_is_no_error(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(error) == BROKEN_OFF
    assert capsys.readouterr().err == "broken off\n"


def test_a_command_that_succeeds_keeps_its_status() -> None:
    assert concluded(lambda: DONE) == DONE


@pytest.fixture
def mistake() -> Exception:
    """An error of Python's that was raised in a line of the testbed."""
    with pytest.raises(ValueError, match="byte_scale") as caught:
        Scale(byte_scale=-1)
    return caught.value


def test_a_mistake_is_named_with_its_last_own_line(mistake: Exception, tmp_path: Path) -> None:
    line = explained(mistake, tmp_path)
    assert line.startswith("ValueError: byte_scale must be > 0, not -1 at plan/scale.py:")
    assert f" in Scale.__post_init__; traceback in {tmp_path / 'error.log'}" in line


def test_a_mistake_leaves_its_traceback_in_the_run_s_directory(
    mistake: Exception, tmp_path: Path
) -> None:
    explained(mistake, tmp_path)
    written = (tmp_path / "error.log").read_text()
    assert written.startswith("Traceback")
    assert "must be > 0" in written


def test_a_deadlock_leaves_all_that_wait_in_the_run_s_directory(tmp_path: Path) -> None:
    waiting = [(f"task {i}", f"file.py:{i} in f") for i in range(9)]
    line = explained(Deadlock(2.0, waiting), tmp_path)
    assert line.endswith(f"; traceback in {tmp_path / 'error.log'}")
    written = (tmp_path / "error.log").read_text()
    assert all(f"{name} waits at {place}" in written for name, place in waiting)


def test_without_a_directory_the_traceback_is_in_a_temporary_file(
    mistake: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    line = explained(mistake, tmp_path / "never made")
    [written] = tmp_path.iterdir()
    assert line.endswith(f"; traceback in {written}")


def test_a_traceback_that_can_not_be_kept_does_not_hide_the_mistake(
    mistake: Exception, tmp_path: Path
) -> None:
    (tmp_path / "error.log").mkdir()
    assert "byte_scale must be > 0" in (line := explained(mistake, tmp_path))
    assert line.endswith("its traceback could not be written: Is a directory")


def test_a_full_disk_is_no_mistake_of_the_testbed(tmp_path: Path) -> None:
    assert explained(NO_SPACE, tmp_path) == f"{tmp_path}: No space left on device"
    assert explained(PermissionError(errno.EACCES, "Permission denied", "a/plan.json")) == (
        "a/plan.json: Permission denied"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_told_nothing() -> None:
    command = (
        "import sys; from scenarios.running.outcome import concluded;"
        " sys.exit(concluded(lambda: print('x' * 10**6) or 0))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == DONE
