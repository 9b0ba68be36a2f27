"""The Trace Event Format, as Chrome and Perfetto read it: events on tracks of processes.

A track is a pair of numbers (pid, tid), which metadata events name. Slices of a track nest;
flows are arrows from slice to slice; counters belong to a process. Times are microseconds,
here to the nanosecond, so that ends which are equal in model time stay equal.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec


class Track(NamedTuple):
    """A row of a process."""

    pid: int
    tid: int


class TraceEvents:
    """Events as they are gathered. Of two slices that begin together, the outer comes first."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._pids: dict[str, int] = {}
        self._tids: dict[tuple[str, str], int] = {}

    def process(self, name: str) -> int:
        """The process of a name, in the order in which they are first asked for."""
        if name not in self._pids:
            pid = self._pids[name] = len(self._pids) + 1
            self._named("process_name", Track(pid, 0), {"name": name})
            self._named("process_sort_index", Track(pid, 0), {"sort_index": pid})
        return self._pids[name]

    def track(self, process: str, name: str) -> Track:
        """The track of a name in a process, in the order in which they are first asked for."""
        pid = self.process(process)
        if (process, name) not in self._tids:
            tid = self._tids[process, name] = len(self._tids) + 1
            self._named("thread_name", Track(pid, tid), {"name": name})
            self._named("thread_sort_index", Track(pid, tid), {"sort_index": tid})
        return Track(self._pids[process], self._tids[process, name])

    def slice(
        self,
        track: Track,
        name: str,
        start_s: float,
        end_s: float,
        args: Mapping[str, object] | None = None,
    ) -> None:
        """Something that lasts."""
        start_ns = _ns(start_s)
        event = self._event("X", name, track, start_s)
        event["dur"] = (_ns(end_s) - start_ns) / 1e3
        if args:
            event["args"] = args

    def flow(self, number: int, steps: list[tuple[Track, float]]) -> None:
        """An arrow over slices that begin at those moments, model seconds, two at least."""
        for i, (track, at_s) in enumerate(steps):
            phase = "s" if i == 0 else "f" if i == len(steps) - 1 else "t"
            event = self._event(phase, "request", track, at_s)
            event |= {"cat": "request", "id": number}
            if phase == "f":
                event["bp"] = "e"

    def counter(self, process: str, name: str, at_s: float, values: Mapping[str, float]) -> None:
        """What something is from a moment on; a line for each of the values."""
        event = self._event("C", name, Track(self.process(process), 0), at_s)
        event["args"] = values

    def write(self, path: Path, other: Mapping[str, object]) -> None:
        """Write all, gzipped; the same events are the same bytes.

        Args:
            other: what the file says of itself.
        """
        whole = {"displayTimeUnit": "ms", "otherData": other, "traceEvents": self._events}
        path.write_bytes(gzip.compress(msgspec.json.encode(whole), 6, mtime=0))

    def _named(self, kind: str, track: Track, args: Mapping[str, object]) -> None:
        self._events.append(
            {"ph": "M", "name": kind, "pid": track.pid, "tid": track.tid, "args": args}
        )

    def _event(self, phase: str, name: str, track: Track, at_s: float) -> dict[str, Any]:
        event = {
            "ph": phase,
            "name": name,
            "pid": track.pid,
            "tid": track.tid,
            "ts": _ns(at_s) / 1e3,
        }
        self._events.append(event)
        return event


def _ns(at_s: float) -> int:
    return round(at_s * 1e9)
