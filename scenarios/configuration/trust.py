"""Whom root trusts with files that it reads or runs.

Root trusts itself, the user for whom sudo runs it, and the owner of the code, for it runs that.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
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
