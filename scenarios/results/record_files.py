"""Files of records, JSON objects one a line in model units: written one by one, or at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from plan.errors import reading

Record = TypeVar("Record", bound=msgspec.Struct)


class RecordFile:
    """Records as JSON lines, appended one by one; a context manager.

    Attributes:
        written: how many so far.
    """

    def __init__(self, path: Path) -> None:
        self.written = 0
        self._encoder = msgspec.json.Encoder()
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, record: msgspec.Struct) -> None:
        """Write a record; it is on disk at the latest after the next `flush`."""
        self.written += 1
        self._file.write(self._encoder.encode(record) + b"\n")

    def flush(self) -> None:
        self._file.flush()


def requests_path(directory: Path) -> Path:
    """Where a system's requests are."""
    return directory / "requests.jsonl"


def counters_path(directory: Path) -> Path:
    """Where a system's counters are."""
    return directory / "counters.jsonl"


def backlog_path(directory: Path) -> Path:
    """Where is what waited in the fabric's queues while a system was served."""
    return directory / "backlog.jsonl"


def faults_path(directory: Path) -> Path:
    """Where it is what became of a system's faults."""
    return directory / "faults.jsonl"


def attempts_path(directory: Path) -> Path:
    """Where a system's attempts are that came to nothing."""
    return directory / "attempts.jsonl"


def write(path: Path, records: Iterable[msgspec.Struct]) -> None:
    """Write all records of a file at once."""
    path.write_bytes(msgspec.json.Encoder().encode_lines(records))


def read(path: Path, kind: type[Record]) -> list[Record]:
    """All records of a file; a last line that was cut short is left out.

    Raises:
        RunError: the file is missing, or a line is not such a record.
    """
    with reading(path):
        content = path.read_bytes()
        whole = memoryview(content)[: content.rfind(b"\n") + 1]
        return msgspec.json.Decoder(kind).decode_lines(whole)
