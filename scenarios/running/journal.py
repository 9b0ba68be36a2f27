"""The journal of a run: what it tells of itself, on disk as it goes.

`journal.jsonl` of the run's directory has the run's course, one `plan.events.JournalEvent` a
line: its phases, each system's progress, incidents, its end. Requests and counters have files
of their own in the system's directory: `requests.jsonl` grows by a `RequestRecord` when a
request is done, `counters.jsonl` by a `CounterSample` every `report.sample`. Whoever follows a
run reads these three; whatever kills it, they hold what was there. A last line may be cut short.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

from plan.events import End, Faulted, Incident, JournalEvent, Over, Phase, PhaseName, Run, Served
from plan.faults import FaultEvent

JOURNAL = "journal.jsonl"
SERVED_EVERY_S = 1.0
"""Wall seconds between two entries of what is done."""


class Journal:
    """The course of one run; a context manager.

    Args:
        path: made, or written on.
    """

    def __init__(self, path: Path) -> None:
        # every entry is one write: there is nothing to flush
        self._file = path.open("ab", buffering=0)
        self._served_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _write(self, entry: JournalEvent) -> None:
        self._file.write(msgspec.json.encode(entry) + b"\n")

    def phase(self, phase: PhaseName, system: str | None = None) -> None:
        """The run goes on to that phase."""
        self._write(Phase(t=time.time(), phase=phase, system=system))

    def begins(self, scenario: str, engine: str, systems: Iterable[str]) -> None:
        """A run of these systems begins."""
        run = Run(t=time.time(), scenario=scenario, engine=engine, systems=tuple(systems))
        self._write(run)

    def befell(self, what: str) -> None:
        """An incident, a clause."""
        self._write(Incident(t=time.time(), what=what))

    def faulted(self, system: str, fault: FaultEvent) -> None:
        """Something became of a fault."""
        self._write(Faulted(t=time.time(), system=system, fault=fault))

    def over(self, system: str, done: int, *, complete: bool) -> None:
        """A system's requests are done, or it was broken off."""
        self._write(Over(t=time.time(), system=system, done=done, complete=complete))

    def ends(self, status: int, error: str | None) -> None:
        """The run is over, with that exit status."""
        self._write(End(t=time.time(), status=status, error=error))

    def served(self, system: str, done: int, total: int | None) -> None:
        """So many requests are done; left out if the last entry is not a second old."""
        now = time.time()
        if now - self._served_s >= SERVED_EVERY_S:
            self._served_s = now
            self._write(Served(t=now, system=system, done=done, total=total))
