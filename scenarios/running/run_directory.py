"""The directory of a run: new, or a sweep's that is taken up; as root where no one interferes.

Root writes where it is told to. So it goes there step by step, never through a link that
another user made, and stays out of directories in which another user could put a link, or
something else, in the place of what root has made. A directory such as /tmp, whose sticky bit
keeps everybody's hands off others' entries, may be on the way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plan.errors import ScenarioError
from scenarios.configuration.trust import invoking_user, others_write, trusted

_MODE = 0o755
_MOST_LINKS = 40
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_REMEDY = "name another directory, below one of your own"


def claim(out: Path) -> None:
    """Make the run's directory; never mix two runs.

    Raises:
        ScenarioError: there is something there already, or it can't be made.
    """
    make(out)
    with _told(out):
        taken = any(out.iterdir())
    if taken:
        raise ScenarioError("--out", str(out), "name a new or empty directory", "is not empty")


def take_up(out: Path) -> None:
    """Make the directory of a sweep, or see that root can write to the one that is there.

    Raises:
        ScenarioError: it can't be made, or holds what another user put there, or links.
    """
    make(out)
    if os.geteuid() != 0:
        return
    for path, folders, files, descriptor in os.fwalk(out):
        for name in (*folders, *files):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if problem := _foreign(status):
                where = os.path.relpath(os.path.join(path, name), out)
                raise ScenarioError(
                    "--out", str(out), "remove it, or name a new directory", f"{problem} {where}"
                )


def _foreign(status: os.stat_result) -> str | None:
    if not trusted(status.st_uid):
        return "holds something of another user,"
    if stat.S_ISDIR(status.st_mode):
        return "lets others write to" if others_write(status) else None
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return None
    return "holds the link, or what is no file,"


def make(out: Path) -> None:
    """Make a directory and those above it, where they are missing.

    Raises:
        ScenarioError: it can't be made, or, as root, is not safe from other users.
    """
    with _told(out):
        if os.geteuid() == 0:
            _Way(out).go()
        else:
            out.mkdir(parents=True, exist_ok=True)


@contextmanager
def _told(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ScenarioError("--out", str(out), f"{error.strerror}: name another") from None


class _Way:
    """Root's way to a directory: one step at a time, each looked at before the next."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._steps = list(reversed(out.absolute().parts[1:]))
        self._links = 0
        self._shown = Path("/")
        self._here = os.open("/", _LOOK)

    def go(self) -> None:
        try:
            while self._steps:
                self._step(self._steps.pop())
            self._check(os.fstat(self._here), sticky=False)
        finally:
            os.close(self._here)

    def _step(self, name: str) -> None:
        there = self._there(name)
        status = os.fstat(there)
        if stat.S_ISLNK(status.st_mode):
            try:
                self._turn(name, status, os.readlink("", dir_fd=there))
            finally:
                os.close(there)
            return
        os.close(self._here)
        self._here, self._shown = there, self._shown / name
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(None, "Not a directory")
        self._check(status, sticky=True)

    def _there(self, name: str) -> int:
        try:
            return os.open(name, _LOOK, dir_fd=self._here)
        except FileNotFoundError:
            os.mkdir(name, _MODE, dir_fd=self._here)
            user = invoking_user()
            if user and os.fstat(self._here).st_uid == user.uid:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                made = os.open(name, flags, dir_fd=self._here)
                os.fchown(made, *user)
                os.close(made)
            return os.open(name, _LOOK, dir_fd=self._here)

    def _turn(self, name: str, status: os.stat_result, target: str) -> None:
        """Follow a link of somebody whom root trusts."""
        if not trusted(status.st_uid):
            self._refuse(f"leads through the link {self._shown / name} of another user")
        self._links += 1
        if self._links > _MOST_LINKS:
            self._refuse("leads through links without end")
        path = Path(target)
        self._steps += reversed(path.parts[1:] if path.is_absolute() else path.parts)
        if path.is_absolute():
            os.close(self._here)
            self._here, self._shown = os.open("/", _LOOK), Path("/")

    def _check(self, status: os.stat_result, *, sticky: bool) -> None:
        """See that nobody else can replace what lies in a directory.

        Args:
            sticky: others may put their own beside it.
        """
        if not trusted(status.st_uid):
            self._refuse(f"{self._whether()}{self._shown}, which belongs to another user")
        if others_write(status) and not (sticky and status.st_mode & stat.S_ISVTX):
            self._refuse(f"{self._whether()}{self._shown}, where others can write")

    def _whether(self) -> str:
        return "lies in " if self._steps else "is "

    def _refuse(self, problem: str) -> None:
        raise ScenarioError("--out", str(self._out), _REMEDY, problem)
