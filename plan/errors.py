"""The errors of the testbed, all of them.

    TestbedError
    ├── ScenarioError    the scenario or the command line is wrong; found before anything is built
    ├── TraceError       a recorded trace cannot be read; becomes the error of its scenario
    ├── MachineError     this machine lacks something that the run needs
    ├── RunError         a run that had started could not be finished
    │   ├── CommandError    a program that it needs failed
    │   ├── PluginError     code of the user's own failed
    │   ├── Broken          what was asked of another node came to nothing; nodes go on, see below
    │   │   ├── Stalled        a transfer moved nothing for too long
    │   │   └── ReadBroken     what was read was stored blocks
    │   ├── BeginAnew       a node's program has to begin another life
    │   ├── PeerLost        a connection between two of its nodes broke
    │   └── Standstill      its simulated nodes come no further:
    │       ├── Deadlock       they wait for each other for ever
    │       └── Livelock       they are busy, but no request is
    └── BrokenOff        the user ended a run before it was done

`Broken` ends a run only where its plan has no recovery. Each ends in one line that says what to
do; `scenarios.running.outcome` has the exit statuses.
Anything else that is raised is a mistake in the testbed.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

WAITING_SHOWN = 3
"""Tasks of a deadlock that fit into its line."""


class TestbedError(Exception):
    """Root of all errors that the testbed raises on purpose."""

    __test__ = False  # pytest would take the name for a test class


class ScenarioError(TestbedError):
    """A scenario or the command line asks for something that cannot be honoured.

    Attributes:
        path: dotted key, e.g. `cluster.cnic` (or the file, where it cannot be read).
        value: what was given there, None for nothing.
        remedy: what to write instead.
    """

    def __init__(
        self, path: str, value: object, remedy: str, problem: str = "cannot be used"
    ) -> None:
        self.path = path
        self.value = value
        self.remedy = remedy
        self.problem = problem
        shown = "" if value is None else f"{_shown(value)} "
        super().__init__(f"{path}: {shown}{problem}; {remedy}")


class TraceError(TestbedError):
    """A trace is missing, unreadable or malformed; the message names file, line and field."""


class MachineError(TestbedError):
    """The machine lacks a right, a program or a kernel feature.

    Attributes:
        missing: what the run needs and did not find.
        remedy: how to provide it.
    """

    def __init__(self, missing: str, remedy: str) -> None:
        self.missing = missing
        self.remedy = remedy
        super().__init__(f"{missing}; {remedy}")


class RunError(TestbedError):
    """A run that had started could not be finished."""


class CommandError(RunError):
    """A program failed; the message holds its command line and what it said."""

    def __init__(self, argv: Sequence[str], returncode: int, said: str) -> None:
        super().__init__(f"{' '.join(argv)} failed with {returncode}: {said.strip()}")


class PluginError(RunError):
    """A plug-in failed; the message begins with its file and line."""


class Broken(RunError):
    """A transfer failed, a peer is gone, or what came is not what it should be.

    Attributes:
        read: it was a read of stored blocks.
    """

    read = False


class Stalled(Broken):
    """A transfer moved nothing for as long as a lease."""


class ReadBroken(Broken):
    """The same of blocks that were to be read from storage."""

    read = True


class BeginAnew(RunError):
    """A node has to end this life of its program and begin another one; says why."""


class PeerLost(RunError):
    """A connection to another node broke; what ended that one says more.

    Attributes:
        peer: the other node.
    """

    def __init__(self, message: str, peer: str) -> None:
        self.peer = peer
        super().__init__(message)


class Standstill(RunError):
    """A run in virtual time comes no further.

    Attributes:
        waiting: (task name, place of the await as "file:line in function") of each task; its
            notes name them all.
    """

    def __init__(self, what: str, waiting: Sequence[tuple[str, str]]) -> None:
        self.waiting = waiting
        places = [f"{name} waits at {place}" for name, place in waiting]
        shown = "; ".join(places[:WAITING_SHOWN])
        more = f"; and {len(places) - WAITING_SHOWN} more" if len(places) > WAITING_SHOWN else ""
        super().__init__(f"{what} {len(waiting)} task(s): {shown or 'none'}{more}")
        for place in places:
            self.add_note(place)


class Deadlock(Standstill):
    """Nothing is ready and no timer is set, but tasks still wait."""

    def __init__(self, now_s: float, waiting: Sequence[tuple[str, str]]) -> None:
        super().__init__(
            f"deadlock at model time {now_s:.9g} s: no timer is set and nothing can wake", waiting
        )


class Livelock(Standstill):
    """Timers fire or callbacks run, but no request comes further.

    Args:
        why: what goes on instead, a clause.
    """

    def __init__(self, now_s: float, why: str, waiting: Sequence[tuple[str, str]]) -> None:
        super().__init__(f"livelock at model time {now_s:.9g} s: {why}, of", waiting)


class BrokenOff(TestbedError):
    """The user ended a run before it was done."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around reading a file that the run itself wrote: what is wrong with it names it.

    Raises:
        RunError: the file is missing, cannot be read or does not hold what it should.
    """
    try:
        yield
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {said(error)}") from error


def first_cause(error: BaseException) -> BaseException:
    """The error itself, or the first one in a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def said(error: BaseException) -> str:
    """In one line what an error says; its type, too, unless it is one of the testbed's."""
    text = " ".join(str(error).split())
    if isinstance(error, TestbedError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _shown(value: object) -> str:
    if isinstance(value, str) and len(value) <= 80:
        return json.dumps(value)
    return reprlib.repr(value)
