"""The Trace Event Format, as Chrome and Perfetto read it: events on tracks of processes.

A track is a pair of numbers (pid, tid), which metadata events name. Slices of a track nest;
flows are arrows from slice to slice; counters belong to a process. Times are microseconds,
here to the nanosecond, so that ends which are equal in model time stay equal.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

_LEVEL = 4
"""Of compression: a tenth larger than the default's, and twice as fast."""
_AT_ONCE = 2000


class Track(NamedTuple):
    """A row of a process."""

    pid: int
    tid: int


class TraceEvents:
    """Events as they go to their file, gzipped; a context manager. The same events are the same
    bytes. Of two slices that begin together, the outer one comes first.

    Args:
        other: what the file says of itself.
    """

    def __init__(self, path: Path, other: Mapping[str, object]) -> None:
        self._encoder = msgspec.json.Encoder()
        self._waiting: list[bytes] = []
        self._pids: dict[str, int] = {}
        self._tids: dict[tuple[str, str], int] = {}
        self._raw = path.open("wb")
        self._file = gzip.GzipFile("", "wb", _LEVEL, self._raw, mtime=0)
        self._before = b""
        told = self._encoder.encode(other)
        self._file.write(b'{"displayTimeUnit":"ms","otherData":' + told + b',"traceEvents":[\n')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.write(b"]}\n")
        self._file.close()
        self._raw.close()

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
        more: dict[str, object] = {"dur": (_ns(end_s) - _ns(start_s)) / 1e3}
        self._event("X", name, track, start_s, more | {"args": args} if args else more)

    def flow(self, number: int, steps: list[tuple[Track, float]]) -> None:
        """An arrow over slices that begin at those moments, model seconds, two at least."""
        for i, (track, at_s) in enumerate(steps):
            phase = "s" if i == 0 else "f" if i == len(steps) - 1 else "t"
            bound = {"bp": "e"} if phase == "f" else {}
            self._event(phase, "request", track, at_s, {"cat": "request", "id": number, **bound})

    def counter(self, process: str, name: str, at_s: float, values: Mapping[str, float]) -> None:
        """What something is from a moment on; a line for each of the values."""
        self._event("C", name, Track(self.process(process), 0), at_s, {"args": values})

    def _named(self, kind: str, track: Track, args: Mapping[str, object]) -> None:
        self._write({"ph": "M", "name": kind, "pid": track.pid, "tid": track.tid, "args": args})

    def _event(
        self, phase: str, name: str, track: Track, at_s: float, more: Mapping[str, object]
    ) -> None:
        where = {"pid": track.pid, "tid": track.tid, "ts": _ns(at_s) / 1e3}
        self._write({"ph": phase, "name": name, **where, **more})

    def _write(self, event: Mapping[str, object]) -> None:
        self._waiting.append(self._before + self._encoder.encode(event))
        self._before = b",\n"
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._file.write(b"".join(self._waiting))
        self._waiting.clear()


def _ns(at_s: float) -> int:
    return round(at_s * 1e9)
