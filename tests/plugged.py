"""Plug-ins for tests, from their source."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from textwrap import dedent

from plan.plugins import Plugin


def plugin(place: Path, source: str, attribute: str = "plugin") -> Plugin:
    """A plug-in in `place/mine.py`, whose first line is line 1 of what is given."""
    file = place / "mine.py"
    file.write_text(dedent(source).lstrip())
    digest = sha256(file.read_bytes()).hexdigest()
    return Plugin(file=str(file), attribute=attribute, digest=digest)
