"""What a run does where the packages of the extra `emulate` are not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.running.outcome import DONE, LACKING
from tests.scenarios.commands import TINY
from topology import machine

# setuptools brings two more
BLOCKED = (*machine.PACKAGES, "pkg_resources", "_distutils_hack")
SCRIPT = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED}))
from scenarios.cli import main
sys.exit(main(sys.argv[1:]))
"""

pytestmark = pytest.mark.slow


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`dualpath run` where none of the packages can be imported."""
    command = [sys.executable, "-c", SCRIPT, "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_simulated_run_has_its_report(tmp_path: Path) -> None:
    small = ("--systems", "dualpath", "--set", "workload.agents=2")
    done = run(str(TINY), "--engine", "simulate", *small, "--out", str(tmp_path / "run"))
    assert done.returncode == DONE, done.stderr
    assert "data:image/svg+xml" in (tmp_path / "run/report.html").read_text()


def test_an_emulated_run_ends_in_one_line_with_the_command_that_installs_them() -> None:
    done = run(str(TINY))
    assert done.returncode == LACKING
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: not installed for Python: {', '.join(machine.PACKAGES)};")
    assert "pip install --no-build-isolation 'dualpath-testbed[emulate]'" in line


def test_the_machine_check_lists_them() -> None:
    done = run("--check")
    assert done.returncode == LACKING
    assert f"missing: not installed for Python: {', '.join(machine.PACKAGES)}\n" in done.stdout
