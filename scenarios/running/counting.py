"""Counters of a system that is served, on disk as it goes: only the last readings are held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from plan.records import CounterSample
from scenarios.results.record_files import RecordFile, read
from scenarios.results.samples import at_start, since, until


class Counting:
    """Counts from the run's start on; a context manager around the time in which it writes.

    Args:
        path: of the counters.
        idle_s: since when nothing had been sent before the start, model seconds, negative.
    """

    def __init__(self, path: Path, idle_s: float) -> None:
        self._path, self._idle_s = path, idle_s
        self._base: CounterSample | None = None
        self._held: list[CounterSample] = []  # not written yet; as counted, once there is a base

    def __enter__(self) -> Self:
        self._file = RecordFile(self._path)
        return self

    def __exit__(self, *ended: object) -> None:
        self._file.__exit__(*ended)

    def hold(self, samples: Sequence[CounterSample]) -> None:
        """What was read next, as read."""
        base = self._base
        self._held += samples if base is None else [since(sample, base) for sample in samples]

    def write(self) -> None:
        """Put what is held on disk, once there is a reading from after the start."""
        if self._held and self._held[-1].t_s >= 0:
            self._count()
            for sample in self._held:
                self._file.append(sample)
            self._file.flush()
            self._held.clear()

    def until(self, end_s: float) -> list[CounterSample]:
        """Counters from the start to `end_s`, model seconds, which may still be held.

        Raises:
            ValueError: nothing was read at or after that moment.
        """
        self._count()
        return until([*read(self._path, CounterSample), *self._held], end_s)

    def _count(self) -> None:
        """From the start on, which is now known."""
        if self._base is None:
            self._base = at_start(self._held, self._idle_s)
            held, self._held = self._held, []
            self.hold([self._base, *(sample for sample in held if sample.t_s > 0)])
