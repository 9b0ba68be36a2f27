"""Runs that fail alone: one here, or many side by side in processes that say nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plan.errors import RunError
from scenarios.configuration.schema import Scenario
from scenarios.running.execution import run_scenario
from scenarios.running.outcome import FAILED, Outcome, explained, status_of
from scenarios.running.workers import side_by_side


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


def side_runs(runs: Sequence[Run], jobs: int) -> Iterator[tuple[int, Outcome]]:
    """Run all, `jobs` at a time; gives the place of each in `runs` and its outcome, as it ends."""
    for place, ended in side_by_side(_numbered, list(enumerate(runs)), jobs):
        outcome = Outcome(FAILED, error=str(ended)) if isinstance(ended, RunError) else ended
        yield place[0], outcome


def _numbered(run: tuple[int, Run]) -> Outcome:
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        return attempt(run[1])
