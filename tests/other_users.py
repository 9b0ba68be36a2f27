"""Files of other users, which root can make; none of these has an account."""

from __future__ import annotations

import os
from pathlib import Path

OTHER = 54321
INVOKER, INVOKER_GROUP = 54322, 54323
"""Of the user for whom sudo runs us, where a test says so."""


def given(path: Path, user: int, group: int | None = None) -> Path:
    """What is there already, as another user's; of a link, the link."""
    os.chown(path, user, user if group is None else group, follow_symlinks=False)
    return path


def directory(path: Path, user: int = 0) -> Path:
    path.mkdir()
    return given(path, user)


def link(path: Path, target: str | Path, user: int = 0) -> Path:
    path.symlink_to(target)
    return given(path, user)
