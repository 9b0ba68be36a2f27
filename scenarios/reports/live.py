"""A run as it goes, read from the files that it writes: what its live page shows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from plan.deployment import System
from plan.events import End, JournalEvent, Over, Phase, Served
from plan.events import Run as Begun
from plan.model import Plan, read_plan
from plan.records import BacklogSample, CounterSample, Ending, RequestRecord
from scenarios.reports import gallery, interactive
from scenarios.reports.fabric_map import fabric_map
from scenarios.reports.page import render
from scenarios.reports.ways import ways
from scenarios.results.metrics import summarise
from scenarios.results.record_files import backlog_path, counters_path, requests_path
from scenarios.results.result import SystemResult

Record = TypeVar("Record")


class Tail(Generic[Record]):
    """The records of a file that grows, or is written anew; `records` are those read so far."""

    def __init__(self, path: Path, kind: Any) -> None:
        self.records: list[Record] = []
        self._path = path
        self._decoder = msgspec.json.Decoder(kind)
        self._place = self._file = 0

    def look(self) -> bool:
        """Read what is new; returns whether there was anything.

        Raises:
            msgspec.DecodeError: a line is no such record.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._file or status.st_size < self._place:
                self.records, self._place, self._file = [], 0, status.st_ino
            file.seek(self._place)
            complete, newline, _ = file.read().rpartition(b"\n")
        self._place += len(complete + newline)
        new = self._decoder.decode_lines(complete + newline)
        self.records += new
        return bool(new)


class _Served:
    """What there is of one system."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.requests = Tail[RequestRecord](requests_path(directory), RequestRecord)
        self.samples = Tail[CounterSample](counters_path(directory), CounterSample)
        self.backlog = Tail[BacklogSample](backlog_path(directory), BacklogSample)

    def look(self) -> bool:
        return any([self.requests.look(), self.samples.look(), self.backlog.look()])

    def result(self) -> SystemResult:
        samples = self.samples.records
        return SystemResult(
            system=System(name=self.name),
            records=self.requests.records,
            samples=samples,
            node_stats=[],
            drops={},
            complete=False,
            ending=Ending(
                ended_by="broken off", from_s=0.0, to_s=samples[-1].t_s if samples else 0.0
            ),
            wall_s=0.0,
            backlog=self.backlog.records,
        )


class LiveRun:
    """A run's directory while it is written to.

    Attributes:
        ended: the journal has its last entry.
    """

    def __init__(self, directory: Path) -> None:
        self.ended = False
        self._directory = directory
        self._journal = Tail[JournalEvent](directory / "journal.jsonl", JournalEvent)
        self._plan: Plan | None = None
        self._systems: dict[str, _Served] = {}

    def look(self) -> bool:
        """Read what is new; returns whether there was anything."""
        new = self._journal.look()
        for entry in self._journal.records if new else ():
            if isinstance(entry, Served) and entry.system not in self._systems:
                where = self._directory / "systems" / entry.system
                self._systems[entry.system] = _Served(entry.system, where)
            self.ended = self.ended or isinstance(entry, End)
        return any([new, *(system.look() for system in self._systems.values())])

    def page(self) -> str:
        """The page, empty: what it shows comes later, as `shown`."""
        charts = [
            (key, title, caption)
            for key, (_, title, caption) in gallery.PICTURES.items()
            if key not in gallery.IMAGES
        ]
        begun = [e for e in self._journal.records if isinstance(e, Begun)]
        return render(
            "live.html.j2",
            name=begun[0].scenario if begun else self._directory.name,
            report=self._directory / "report.html",
            charts=charts,
        )

    def shown(self) -> str:
        """JSON of what there is to see now."""
        said = {"status": status(self._journal.records), "ended": self.ended, "charts": {}}
        if self._systems:
            if self._plan is None:
                self._plan = read_plan(self._directory / "plan.json")
            results = [system.result() for system in self._systems.values()]
            run = gallery.run_of(self._plan, results, summarise(self._plan, results))
            said |= {
                "charts": {k: interactive.of_chart(c) for k, c in gallery.charts_of(run).items()},
                "fabric": fabric_map(run),
                "requests": ways(run),
            }
        return interactive.data(said)


def status(entries: Sequence[JournalEvent]) -> str:
    """Where a run is, in a sentence or two."""
    said = "Waiting for the run."
    done: dict[str, str] = {}
    for entry in entries:
        match entry:
            case Phase(phase=phase, system=system):
                said = f"{system or 'the run'}: {phase}."
            case Served(system=system, done=count, total=total):
                done[system] = f"{system}: {count:,}" + (f" of {total:,}" if total else "")
                said = "serving."
            case Over(system=system, done=count, complete=complete):
                done[system] = f"{system}: {count:,}" + (" and done" if complete else ", cut short")
            case End(error=error):
                said = f"The run has ended: {error}." if error else "The run has ended."
    requests = f" Requests: {'; '.join(done.values())}." if done else ""
    return said[0].upper() + said[1:] + requests
