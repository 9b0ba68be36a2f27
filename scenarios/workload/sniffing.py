"""Which format a trace is in, by its first line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from plan.errors import TraceError
from scenarios.workload.trace_files import TraceFiles
from scenarios.workload.trace_formats import Format
from scenarios.workload.turn_rows import COLUMNS

_LOOKED_AT = 100
"""Turns of a session of lengths that are asked what they have."""


def format_of(path: Path) -> Format:
    """The format of a file, or of a folder by its first file.

    Raises:
        TraceError: it cannot be read, is empty, or is of none that is known.
    """
    trace = TraceFiles(path)
    files = trace.named("*.json*")
    if not files:
        raise TraceError(f"{path}: no *.json or *.jsonl in this folder")
    _, line = next(iter(TraceFiles(files[0]).lines(files[0])), (0, b""))
    found = _by_keys(_first_row(files[0], line)) if line.lstrip()[:1] == b"{" else _by_heading(line)
    if found is None:
        raise TraceError(f"{path}: not in a format that is known: name it")
    return found


def _first_row(file: Path, line: bytes) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except msgspec.DecodeError:
        # one document over many lines
        try:
            row = msgspec.json.decode(TraceFiles(file).document(file))
        except msgspec.DecodeError as error:
            raise TraceError(f"{file}:1: {error}") from error
    return row if isinstance(row, dict) else {}


def _by_keys(row: dict[str, Any]) -> Format | None:
    match row:
        case {"id": _, "requests": list()}:
            return "weka"
        case {"input_length": _}:
            return "mooncake"
        case {"event": {"event_type": _}} | {"event_type": _}:
            return "dynamo"
        case {"session": _, "turns": list(turns)}:
            appended = any(isinstance(t, dict) and "append" in t for t in turns[:_LOOKED_AT])
            return "mini-swe-agent" if appended else "kv-cache-tester"
        case _:
            return "turns" if set(COLUMNS) <= set(row) else None


def _by_heading(line: bytes) -> Format | None:
    heading = line.decode("utf-8-sig", errors="replace").strip().split(",")
    return "turns" if set(COLUMNS) <= {cell.strip('"') for cell in heading} else None
