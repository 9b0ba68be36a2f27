"""A system served in virtual time, its files left nowhere."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from plan.deployment import System
from plan.model import Plan
from scenarios.results.result import SystemResult
from scenarios.running import simulation
from scenarios.running.journal import JOURNAL, Journal


def served(plan: Plan, system: System, sample_s: float) -> SystemResult:
    """What is left of it, counters taken every `sample_s` model seconds."""
    with TemporaryDirectory() as place, Journal(Path(place, JOURNAL)) as journal:
        return simulation.serve(plan, system, sample_s, Path(place), journal, lambda *_: None)
