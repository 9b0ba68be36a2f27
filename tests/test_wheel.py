"""The wheel, as a user without rights installs it into an empty directory and runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from scenarios.running.outcome import DONE, LACKING

ROOT = Path(__file__).parents[1]
UV = ROOT / ".uv/bin/uv"
NOT_OF_THE_PACKAGE = (".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "traces", "tests")
NOBODY = 65534
NO_INDEX = ("Failed to fetch", "error sending request", "dns error")

pytestmark = pytest.mark.slow


class Installed(NamedTuple):
    """A virtual environment that holds the wheel and what it asks for, and a user's directory."""

    wheel: Path
    command: Path
    home: Path

    def dualpath(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, by a user without rights, in the empty directory."""
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        return subprocess.run(
            [*as_user(), str(self.command), *arguments],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
        )


def as_user() -> list[str]:
    """What goes before a command so that it has no rights."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def usable_python() -> str:
    """A Python of our version that a user without rights can start."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for program in (os.path.realpath(sys.executable), f"/usr/bin/{version}"):
        tried = [*as_user(), program, "-c", ""]
        if Path(program).exists() and subprocess.run(tried, capture_output=True).returncode == 0:
            return program
    pytest.skip(f"no {version} that a user without rights may start")


def built(directory: Path) -> Path:
    """The wheel of a copy of the checkout, into which building leaves files."""
    source = directory / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_OF_THE_PACKAGE))
    script = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", script, str(directory)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    [wheel] = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    # not below pytest's own directory, which is closed to others
    with tempfile.TemporaryDirectory(prefix="dualpath-wheel-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        wheel, venv, home = built(directory), directory / "venv", directory / "home"
        subprocess.run([UV, "venv", "-q", "--python", usable_python(), venv], check=True)
        # the locked versions, whatever is newer
        locked = ("--constraint", ROOT / "requirements.lock")
        done = subprocess.run(
            [UV, "pip", "install", "-q", "--python", venv / "bin/python", *locked, wheel],
            capture_output=True,
            text=True,
        )
        if any(sign in done.stderr for sign in NO_INDEX):
            pytest.skip("no package index answers")
        assert done.returncode == 0, done.stderr
        home.mkdir()
        if os.geteuid() == 0:
            os.chown(home, NOBODY, NOBODY)
        yield Installed(wheel, venv / "bin/dualpath", home)


def test_all_scenarios_and_templates_are_in_the_wheel(installed: Installed) -> None:
    data = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("library/**/*.yaml", "reports/templates/*.j2")
        for path in (ROOT / "scenarios").glob(pattern)
    }
    assert len(data) > 20
    assert data <= set(zipfile.ZipFile(installed.wheel).namelist())


def test_the_wheel_holds_no_tests(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        *("plan", "topology", "controller", "nodes", "scenarios")
    }


def test_an_ordinary_user_in_an_empty_directory_gets_a_report(installed: Installed) -> None:
    small = ("--set", "workload.agents=8", "--set", "workload.turns.count=1")
    done = installed.dualpath("run", "quickstart", "--engine", "simulate", *small)
    assert done.returncode == DONE, done.stderr
    [report] = installed.home.glob("runs/quickstart-*/report.html")
    assert "data:image/svg+xml" in report.read_text()
    traces = f"warning: {installed.home}/traces/mini-swe-agent/lengths.jsonl.gz is not there"
    assert done.stderr.startswith(traces)


def test_an_emulated_run_says_how_to_install_what_it_lacks(installed: Installed) -> None:
    done = installed.dualpath("run", "quickstart")
    assert done.returncode == LACKING
    [line] = done.stderr.splitlines()
    assert "pip install --no-build-isolation 'dualpath-testbed[emulate]'" in line
