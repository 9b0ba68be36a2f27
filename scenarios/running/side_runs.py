"""Runs that fail alone: one here, or many side by side in processes that say nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from plan.errors import RunError
from scenarios.configuration.loading import resolved_yaml
from scenarios.configuration.schema import Scenario
from scenarios.running.execution import run_scenario
from scenarios.running.fleet import EMULATES, Fleet
from scenarios.running.held import summary_of
from scenarios.running.outcome import FAILED, Outcome, explained, status_of
from scenarios.running.run_directory import claim


@dataclass(frozen=True)
class Run:
    """A scenario and the directory of its run."""

    scenario: Scenario
    out: Path


def attempt(run: Run) -> Outcome:
    """Run it here; whatever it raises is its outcome."""
    try:
        return run_scenario(run.scenario, run.out)
    except Exception as error:
        return Outcome(status_of(error), error=explained(error, run.out))


def side_runs(runs: Sequence[Run], fleet: Fleet) -> Iterator[tuple[int, Outcome]]:
    """Run all, as many at a time as the fleet has places for; gives the place of each in `runs`
    and its outcome, as it ends. Wherever they ran, their files are in their directories then."""
    task = _fetched if fleet.elsewhere else _numbered
    needs = EMULATES if any(run.scenario.engine == "emulate" for run in runs) else None
    for (place, run), ended in fleet.do(task, list(enumerate(runs)), needs):
        if isinstance(ended, RunError):
            yield place, Outcome(FAILED, error=str(ended))
        elif isinstance(ended, _Fetched):
            _put(ended.files, run.out)
            yield place, ended.outcome
        else:
            yield place, ended


@dataclass(frozen=True)
class _Fetched:
    """How a run ended, and all files of its directory by their names in it."""

    outcome: Outcome
    files: Mapping[str, bytes]


def _numbered(run: tuple[int, Run]) -> Outcome:
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        return attempt(run[1])


def _fetched(run: tuple[int, Run]) -> _Fetched | RunError:
    """The run in a directory of this machine, and what it left there."""
    number, asked = run
    with tempfile.TemporaryDirectory(prefix="dualpath-") as directory:
        out = Path(directory).resolve() / asked.out.name
        here = Run(asked.scenario, out)
        emulated = asked.scenario.engine == "emulate"
        outcome = _by_command(here) if emulated else _numbered((number, here))
        files = {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }
    return _Fetched(outcome, files)


def _by_command(run: Run) -> Outcome:
    """An emulated run, which goes into a sandbox of its own."""
    scenario = run.out.with_suffix(".yaml")
    scenario.write_text(resolved_yaml(run.scenario))
    command = [sys.executable, "-I", "-m", "scenarios.run", str(scenario), "--out", str(run.out)]
    done = subprocess.run(command, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    error = errors[-1].removeprefix("error: ") if errors else None
    return Outcome(done.returncode, summary_of(run.out), error)


def _put(files: Mapping[str, bytes], out: Path) -> None:
    """Write what a run left elsewhere.

    Raises:
        RunError: a name leads out of the directory.
    """
    claim(out)
    for name, content in files.items():
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts:
            raise RunError(f"{out}: a worker names the file {name!r}, which lies elsewhere")
        path = out / pure
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
