"""A run read back from its directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from plan.errors import ScenarioError, reading
from plan.model import Plan, read_plan
from plan.records import CounterSample, NodeStats, RequestRecord
from scenarios.results.record_files import counters_path, read, requests_path
from scenarios.results.summary import Summary

T = TypeVar("T")


class Origin(msgspec.Struct, frozen=True):
    """What a run's provenance has said since the first version."""

    command: str
    started: str
    seed: int
    project: str


@dataclass(frozen=True)
class SavedSystem:
    """What one system left behind; times in model seconds, sizes in model bytes."""

    name: str
    directory: Path
    records: list[RequestRecord]
    samples: list[CounterSample]
    stats: list[NodeStats]


@dataclass(frozen=True)
class SavedRun:
    """A run's directory."""

    directory: Path
    plan: Plan
    provenance: Origin
    summary: Summary

    def system(self, name: str) -> SavedSystem:
        """One of those in the summary.

        Raises:
            RunError: a file of it is missing or damaged.
        """
        directory = self.directory / "systems" / name
        return SavedSystem(
            name,
            directory,
            read(requests_path(directory), RequestRecord),
            read(counters_path(directory), CounterSample),
            read(directory / "nodes.jsonl", NodeStats),
        )


def open_run(directory: Path) -> SavedRun:
    """Read what all systems of a run share.

    Raises:
        ScenarioError: this is no directory of a run that has its report.
        RunError: a file of it is damaged.
    """
    check_run(directory)
    return SavedRun(
        directory,
        read_plan(directory / "plan.json"),
        _decoded(directory / "provenance.json", Origin),
        read_summary(directory),
    )


def check_run(directory: Path) -> None:
    """See that there is the directory of a run that has its report.

    Raises:
        ScenarioError: there is none.
    """
    if (directory / "summary.json").is_file():
        return
    remedy = "name the directory of a run, which holds its summary.json"
    if (directory / "sweep.json").is_file():
        remedy = f"it is a sweep: name one of its points, in {directory / 'points'}"
    raise ScenarioError("RUN", str(directory), remedy, "holds no run's report")


def read_summary(directory: Path) -> Summary:
    """The figures of a run.

    Raises:
        RunError: its summary.json is missing or damaged.
    """
    return _decoded(directory / "summary.json", Summary)


def _decoded(path: Path, kind: type[T]) -> T:
    with reading(path):
        return msgspec.json.decode(path.read_bytes(), type=kind)
