"""Whom root trusts with files, and whose the files are that a run has made.

Root trusts itself, the user for whom sudo runs it, and the owner of the code, for it runs that.
What a run makes in a directory of sudo's user is his when the run is over.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_LARGEST_ID = 2**32 - 2


class User(NamedTuple):
    """Numbers of a user and his group."""

    uid: int
    gid: int


def invoking_user() -> User | None:
    """The user for whom sudo runs this process as root; None if there is none but root."""
    ids = [os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID")]
    if os.geteuid() != 0 or not all(text.isascii() and text.isdecimal() for text in ids):
        return None
    user = User(*map(int, ids))
    return user if 0 < user.uid <= _LARGEST_ID >= user.gid else None


def trusted(owner: int) -> bool:
    """Whether root trusts what belongs to a user."""
    asked = invoking_user()
    return owner in {0, os.stat(__file__).st_uid, asked.uid if asked else 0}


def others_write(status: os.stat_result) -> bool:
    """Whether more than its owner can write, with no regard to who owns what is inside."""
    mode = status.st_mode
    return bool(mode & stat.S_IWOTH) or (
        bool(mode & stat.S_IWGRP) and not _private(status.st_gid, status.st_uid)
    )


def _private(group: int, owner: int) -> bool:
    """Whether a group holds none but a user, as his own group on Debian."""
    if group == 0:
        return True
    try:
        name, members = pwd.getpwuid(owner).pw_name, grp.getgrgid(group)
    except KeyError:
        return False
    return members.gr_name == name and set(members.gr_mem) <= {name}


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
