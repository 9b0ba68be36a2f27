"""What a directory of many runs holds already, so that it can be taken up where it stopped."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import msgspec

from plan.errors import ScenarioError
from scenarios.configuration import yaml_dialect
from scenarios.configuration.loading import resolved_yaml, with_dilation
from scenarios.configuration.schema import Scenario
from scenarios.results.summary import Summary
from scenarios.running.run_directory import make, take_up

POINTS = "points"
"""The directory of the points' directories."""


def open_points(out: Path, kind: str) -> Path:
    """Make the directory of a `kind` of many runs, or take one up; returns that of its points.

    Raises:
        ScenarioError: `out` holds something else.
    """
    directory = out / POINTS
    if out.is_dir() and any(out.iterdir()) and not directory.is_dir():
        remedy = f"name a new directory, or that of a {kind}"
        raise ScenarioError("--out", str(out), remedy, f"holds no {kind}")
    take_up(out)
    make(directory)
    return directory


def check_same(out: Path, directory: Path, label: str, scenario: Scenario) -> None:
    """See that a point's directory, if there is one, is of that scenario.

    Raises:
        ScenarioError: it ran with another one.
    """
    written = directory / "scenario.yaml"
    if written.exists() and not is_of(written.read_text(), scenario):
        problem = f"ran {label} with another scenario than this"
        raise ScenarioError("--out", str(out), "name a new directory", problem)


def is_of(written: str, scenario: Scenario) -> bool:
    """Whether a run's resolved scenario is that one, at any dilation `auto` may find."""
    if scenario.scale.dilation == "auto":
        scenario = with_dilation(scenario, yaml_dialect.read(written)["scale"]["dilation"])
    return written == resolved_yaml(scenario)


def summary_of(directory: Path) -> Summary | None:
    """A run's figures, so far as it has any."""
    try:
        return msgspec.json.decode((directory / "summary.json").read_bytes(), type=Summary)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def is_done(scenario: Scenario, directory: Path) -> bool:
    """Whether a run came to its end."""
    summary = summary_of(directory)
    # the page is written last
    if summary is None or not (directory / "report.html").exists():
        return False
    served = [s for s in summary.systems.values() if s.fidelity.complete]
    return len(served) == len(scenario.compared)


def clear(directory: Path) -> None:
    """Remove what is left of a run that was broken off."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
