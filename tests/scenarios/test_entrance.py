"""Started as root in anybody's directory and environment, commands run our code alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios import entrance

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user trusts his directory"),
]

DUALPATH = Path(sys.executable).with_name("dualpath")
SIMULATED = """
engine: simulate
cluster: {slice: 1/8}
scale: {layer_groups: 2}
workload: {source: {generator: 32K}, agents: 2, turns: {count: 1}, max_gen: 2}
systems: [basic]
sweep: {seed: [1, 2]}
"""
TRAPPED = (
    *("yaml", "msgspec", "numpy", "matplotlib", "rich", "jinja2", "quantiphy", "scapy", "lmdb"),
    *("argparse", "json", "csv", "decimal", "fractions", "statistics", "tempfile", "plan"),
    *("mininet", "ryu", "eventlet", "_posixsubprocess", "__future__", "multiprocessing", "pwd"),
)
PROGRAMS = ("ovs-vswitchd", "git", "ip", "setpriv", "unshare", "mount", "sh", "uname", "lscpu")


def python_traps(directory: Path, marker: Path) -> None:
    """Modules under names that our code imports; each says that it was run."""
    for name in TRAPPED:
        (directory / f"{name}.py").write_text(
            f"open({str(marker)!r}, 'a').write('{name}\\n'); raise SystemExit(99)"
        )


def program_traps(directory: Path, marker: Path) -> None:
    """Programs under names that our code runs."""
    for name in PROGRAMS:
        trap = directory / name
        trap.write_text(f"#!/bin/dash\necho {name} >>{marker}\n")
        trap.chmod(0o755)


def command(
    directory: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A directory that another user has prepared."""
    directory = tmp_path / "foreign"
    directory.mkdir()
    (directory / "case.yaml").write_text(SIMULATED)
    return directory


@pytest.mark.parametrize("command_name", ["run", "compare", "export", "validate", "theory"])
def test_modules_in_the_working_directory_are_not_imported(
    foreign: Path, tmp_path: Path, command_name: str
) -> None:
    python_traps(foreign, tmp_path / "marker")
    done = command(foreign, "-m", f"scenarios.{command_name}", "--help")
    assert not (tmp_path / "marker").exists(), (tmp_path / "marker").read_text()
    assert done.returncode == 0, done.stderr


def test_nor_by_the_workers_of_a_sweep(foreign: Path, tmp_path: Path) -> None:
    python_traps(foreign, tmp_path / "marker")
    out = tmp_path / "out"
    done = command(foreign, "-m", "scenarios.run", "case.yaml", "--jobs", "2", "--out", str(out))
    assert not (tmp_path / "marker").exists(), (tmp_path / "marker").read_text()
    assert done.returncode == 0, done.stderr
    assert (out / "sweep.html").exists()


@pytest.mark.parametrize("start", ["-m scenarios.theory", f"{DUALPATH} theory"])
def test_modules_that_the_environment_names_are_not_imported(
    foreign: Path, tmp_path: Path, start: str
) -> None:
    python_traps(foreign, tmp_path / "marker")
    # what Python itself imports before any of our code is not ours to keep out
    (foreign / "__future__.py").unlink()
    done = command(tmp_path, *start.split(), PYTHONPATH=str(foreign))
    assert not (tmp_path / "marker").exists(), (tmp_path / "marker").read_text()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [".:{old}", ":{old}", "{foreign}:{old}"])
def test_programs_come_from_directories_of_the_system(
    foreign: Path, tmp_path: Path, path: str
) -> None:
    program_traps(foreign, tmp_path / "marker")
    path = path.format(old=os.environ["PATH"], foreign=foreign)
    out = tmp_path / "out"
    case = ("case.yaml", "--set", "sweep=null", "--out", str(out))
    done = command(foreign, "-m", "scenarios.run", *case, PATH=path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "marker").exists(), (tmp_path / "marker").read_text()


@pytest.mark.network
def test_an_emulated_run_from_anybody_s_directory_runs_our_code_alone(
    foreign: Path, tmp_path: Path
) -> None:
    python_traps(foreign, tmp_path / "marker")
    program_traps(foreign, tmp_path / "marker")
    out = tmp_path / "out"
    asked = ("case.yaml", "--engine", "emulate", "--set", "sweep=null", "--out", str(out))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("DUALPATH")},
        "PATH": f".:{foreign}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.run", *asked],
        cwd=foreign,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert not (tmp_path / "marker").exists(), (tmp_path / "marker").read_text()
    assert done.returncode in (0, 4), done.stderr
    assert (out / "report.html").exists()


def test_others_write_to_nothing_that_root_makes(foreign: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept = os.umask(0)
    try:
        done = command(foreign, "-m", "scenarios.run", "case.yaml", "--out", str(out))
    finally:
        os.umask(kept)
    assert done.returncode == 0, done.stderr
    assert [path for path in (out, *out.rglob("*")) if path.stat().st_mode & 0o022] == []


# the environment


def test_what_is_kept_of_the_environment_is_listed() -> None:
    hostile = {
        "LD_PRELOAD": "/tmp/x.so",
        "LD_LIBRARY_PATH": "/tmp",
        "PYTHONPATH": "/tmp",
        "PYTHONHOME": "/tmp",
        "TC_LIB_DIR": "/tmp",
        "MATPLOTLIBRC": "/tmp",
        "MPLCONFIGDIR": "/tmp",
        "TMPDIR": "/tmp/other",
        "GIT_DIR": "/tmp",
        "BASH_ENV": "/tmp/x",
        "ENV": "/tmp/x",
        "IFS": "/",
        "OVS_RUNDIR": "/tmp",
        "HOME": "/tmp",
        "XDG_CONFIG_HOME": "/tmp",
        "LC_": "x",
    }
    kept = {"LANG": "C.UTF-8", "LC_ALL": "C", "TERM": "xterm", "NO_COLOR": "1", "SUDO_UID": "5"}
    found = entrance.cleaned(hostile | kept | {"PATH": ".:/tmp:/usr/bin"})
    assert found == kept | {"PATH": entrance.PATH, "HOME": "/root"}


def test_programs_are_looked_for_where_root_alone_can_put_them() -> None:
    for directory in entrance.PATH.split(":"):
        assert directory.startswith("/")
        if os.path.isdir(directory):
            assert os.stat(directory).st_uid == 0
            assert not os.stat(directory).st_mode & 0o002
