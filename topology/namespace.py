"""Work done in the network namespace of another process."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from plan.errors import CommandError

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def entered(pid: int) -> Iterator[None]:
    """Be in the network namespace of process `pid`: this thread and what it starts.

    Sockets keep the namespace they were made in after the block ends.

    Raises:
        OSError: no such process, or no right to enter its namespace.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        target = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def run(argv: Sequence[str], *, stdin: str = "", pid: int | None = None) -> str:
    """Run a program to its end, in the network namespace of `pid`; returns its output.

    Raises:
        CommandError: it ended with a code other than 0.
    """
    if pid is not None:
        with entered(pid):
            return run(argv, stdin=stdin)
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")
