"""Whose the files are that a run has made: what it makes in a directory of sudo's user is his
when the run is over."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenarios.configuration.trust import User, invoking_user


@contextmanager
def handed_over(directory: Path) -> Iterator[None]:
    """Give what is made in a directory meanwhile to sudo's user, if he owns where it lies."""
    before = set(_inodes(directory)) if directory.is_dir() else set()
    try:
        yield
    finally:
        user = invoking_user()
        if user and directory.is_dir() and directory.resolve().parent.stat().st_uid == user.uid:
            _give(directory.resolve(), before, user)


def _inodes(directory: Path) -> Iterator[tuple[int, int]]:
    for _, _, files, descriptor in os.fwalk(directory):
        inside = (os.stat(name, dir_fd=descriptor, follow_symlinks=False) for name in files)
        for status in (os.fstat(descriptor), *inside):
            yield status.st_dev, status.st_ino


def _give(directory: Path, before: set[tuple[int, int]], user: User) -> None:
    """Files first and what is above them last, so that nobody else is at work below."""
    for _, _, files, descriptor in os.fwalk(directory, topdown=False):
        for name in files:
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                file = os.open(name, flags, dir_fd=descriptor)
            except OSError:  # a link, a socket
                continue
            with open(file, "rb"):
                _change(file, before, user)
        _change(descriptor, before, user)


def _change(descriptor: int, before: set[tuple[int, int]], user: User) -> None:
    status = os.fstat(descriptor)
    made = (status.st_dev, status.st_ino) not in before and status.st_uid == 0
    alone = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    if made and (alone or stat.S_ISDIR(status.st_mode)):
        os.fchown(descriptor, *user)
