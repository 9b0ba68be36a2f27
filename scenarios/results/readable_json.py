"""Figures as JSON that people read, too."""

from __future__ import annotations

from pathlib import Path

import msgspec


def write_json(path: Path, value: object) -> None:
    """Write anything that msgspec encodes, indented."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
