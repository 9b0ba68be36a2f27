"""What becomes of faults and attempts is written down as it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from plan.deployment import System
from plan.faults import AttemptRecord, FaultEvent
from plan.model import Plan
from scenarios.results.record_files import RecordFile, attempts_path, faults_path
from scenarios.running.journal import Journal

Told = Callable[[FaultEvent | AttemptRecord], None]


@contextmanager
def kept(plan: Plan, system: System, directory: Path, journal: Journal) -> Iterator[Told | None]:
    """What writes it down, in the system's directory; None where nothing is to break."""
    if not plan.faults:
        yield None
        return
    with (
        RecordFile(faults_path(directory)) as faults,
        RecordFile(attempts_path(directory)) as attempts,
    ):

        def told(event: FaultEvent | AttemptRecord) -> None:
            if isinstance(event, FaultEvent):
                faults.append(event)
                faults.flush()
                journal.faulted(system.name, event)
            else:
                attempts.append(event)
                attempts.flush()

        yield told
