"""How a run ends: exit statuses, and the one line that says what went wrong."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from plan.errors import (
    BrokenOff,
    MachineError,
    ScenarioError,
    Standstill,
    TestbedError,
    first_cause,
    said,
)
from scenarios.results.summary import Summary

DONE, FAILED, WRONG, LACKING, DOUBTED, BROKEN_OFF = 0, 1, 2, 3, 4, 130
"""Exit statuses; `scenarios.run` says what they mean."""

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("plan", "topology", "controller", "nodes", "scenarios")
OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}
"""Errors of the system that no line of the testbed can be blamed for."""


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended.

    Attributes:
        status: exit status.
        summary: the figures of what was served, None if nothing was.
        error: the line that says what went wrong, None if nothing did.
    """

    status: int
    summary: Summary | None = None
    error: str | None = None


def concluded(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; what it raises ends in one line."""
    try:
        status = command()
        sys.stdout.flush()
        return status
    except (KeyboardInterrupt, BrokenOff):
        print("broken off", file=sys.stderr)
        return BROKEN_OFF
    except BrokenPipeError:
        # nobody reads what is said any more; the interpreter's last flush must not mind
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        complain(explained(error))
        return status_of(error)


def complain(line: str) -> None:
    """Say on standard error what went wrong."""
    print(f"error: {line}", file=sys.stderr)


def status_of(error: BaseException) -> int:
    """The exit status of an error."""
    match first_cause(error):
        case ScenarioError():
            return WRONG
        case MachineError():
            return LACKING
        case BrokenOff() | KeyboardInterrupt():
            return BROKEN_OFF
        case _:
            return FAILED


def explained(error: BaseException, directory: Path | None = None) -> str:
    """What went wrong, in one line. A mistake in the testbed is named with its last line, and
    its traceback kept.

    Args:
        directory: of the run, for `error.log`; where there is none it is a temporary file.
    """
    cause = first_cause(error)
    if isinstance(cause, TestbedError) and not isinstance(cause, Standstill):
        return said(cause)
    if isinstance(cause, OSError) and cause.errno in OF_THE_MACHINE:
        return f"{cause.filename or directory or 'this machine'}: {cause.strerror}"
    if isinstance(cause, MemoryError):
        return "out of memory: write a smaller scenario, or run fewer points at once (--jobs)"
    mistake = said(cause)
    if not isinstance(cause, Standstill):  # its message has all of that
        mistake += _place(cause) + "".join(f" {note}" for note in getattr(cause, "__notes__", ()))
    return f"{mistake}; {_kept(error, directory)}"


def _place(error: BaseException) -> str:
    """The last line of the testbed's own that an error passed, as " at file:line"."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES:
            return f" at {path.relative_to(ROOT)}:{line} in {frame.f_code.co_qualname}"
    return ""


def _kept(error: BaseException, directory: Path | None) -> str:
    """Write the traceback to a file; returns where it is."""
    text = "".join(traceback.format_exception(error))
    try:
        if directory is not None and directory.is_dir():
            path = directory / "error.log"
            path.write_text(text)
        else:
            with tempfile.NamedTemporaryFile(
                "w", prefix="dualpath-error-", suffix=".log", delete=False
            ) as file:
                file.write(text)
            path = Path(file.name)
    except OSError as problem:
        return f"its traceback could not be written: {problem.strerror}"
    return f"traceback in {path}"
