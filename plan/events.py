"""What the processes of a run tell each other, and what a run tells of itself as it goes.

All are JSON objects, one a line, told apart by one field. The runner says a `Command` to a
node on its standard input; a node answers with a `NodeEvent` and the controller with a
`ControllerEvent` on their standard outputs. The runner writes a `JournalEvent` for whatever
happens to a run into `journal.jsonl` of the run's directory.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from plan.faults import AttemptRecord, FaultEvent
from plan.records import Ending


class Command(msgspec.Struct, frozen=True, tag_field="command", tag=str.lower):
    """What the runner says to a node."""


class Start(Command, frozen=True):
    """The run begins at this reading of CLOCK_MONOTONIC, seconds, which is model time 0."""

    at: float


class Stop(Command, frozen=True):
    """The run is over: from now on peers may go. Answered with `Stopped`."""


class Ask(Command, frozen=True):
    """What does the node wait for? Answered with `Status`."""


class Spoil(Command, frozen=True):
    """A storage host: a share of the blocks at rest turn into others. Answered with `Spoiled`."""

    share: float
    seed: int


AnyCommand = Start | Stop | Ask | Spoil


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=str.lower):
    """What a process says."""


class Ready(Event, frozen=True):
    """A node listens at all its ends."""


class Progress(Event, frozen=True):
    """The agents: how many requests are done, of how many where that is known."""

    done: int
    total: int | None


class Completed(Event, frozen=True):
    """The agents: the run has come to its end; all requests are in their file."""

    ending: Ending


class Stopped(Event, frozen=True):
    """A node has heard of the run's end."""


class Error(Event, frozen=True):
    """What ends a process, and with it the run; in one line.

    Attributes:
        peer: the node to which a connection broke, if that is what ended it.
    """

    message: str
    peer: str | None = None


class Noted(Event, frozen=True):
    """The scheduler of a run with recovery: what it has noticed, or an attempt that failed."""

    fault: FaultEvent | None = None
    attempt: AttemptRecord | None = None


class Spoiled(Event, frozen=True):
    """A storage host: so many blocks at rest are others now."""

    blocks: int


class Again(Event, frozen=True):
    """A node ends this life of its program, and another one is to begin."""

    reason: str


class Status(Event, frozen=True):
    """What a node waits for.

    Attributes:
        rung: alarms of its clock that have rung so far: computations and polls that went on.
        alarms: that are set.
        requests: for the scheduler, how many requests are where.
        transfers: posted and not complete, by class and ends, `kv pe0.hbm0-de0.dram0`.
        tasks: how many wait at which place of the code.
    """

    node: str
    rung: int
    alarms: int
    requests: dict[str, int] = {}
    transfers: dict[str, int] = {}
    tasks: dict[str, int] = {}


NodeEvent = Ready | Progress | Completed | Stopped | Status | Noted | Spoiled | Again | Error


class Installed(Event, frozen=True, tag="ready"):
    """Every switch has its pipeline.

    Attributes:
        unreachable: pairs of a switch and a NIC that it has no route to.
    """

    switches: int
    flows: int
    unreachable: tuple[tuple[str, str], ...]


class Switch(Event, frozen=True):
    """A switch has connected to the controller, or its connection is gone."""

    switch: str
    connected: bool


class Port(Event, frozen=True):
    """A port of the plan has changed its state."""

    switch: str
    port: int
    link: str
    state: Literal["up", "down"]


class Rerouted(Event, frozen=True):
    """All switches have the routes that a changed port asks for.

    Attributes:
        elapsed_s: wall seconds since the controller heard of the port.
    """

    unreachable: tuple[tuple[str, str], ...]
    flows_added: int = 0
    flows_deleted: int = 0
    elapsed_s: float = 0.0


ControllerEvent = Installed | Switch | Port | Rerouted | Error

PhaseName = Literal[
    "calibration", "fabric", "controller", "probes", "nodes", "serving", "stopping", "report"
]


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=str.lower):
    """An entry of the journal; `t` is wall time, seconds since 1970."""

    t: float


class Run(Entry, frozen=True, kw_only=True):
    """A run begins."""

    scenario: str
    engine: str
    systems: tuple[str, ...]


class Phase(Entry, frozen=True, kw_only=True):
    """The run goes on to what is named: `fabric` is built, its `controller` started, its NICs
    tried out (`probes`); then for every system `nodes` are started, requests are served, nodes
    are stopped; at the end, the report."""

    phase: PhaseName
    system: str | None = None


class Served(Entry, frozen=True, kw_only=True):
    """So many requests of a system are done, of so many where that is known; at most once a
    second."""

    system: str
    done: int
    total: int | None


class Incident(Entry, frozen=True, kw_only=True):
    """What befell the fabric, a clause."""

    what: str


class Faulted(Entry, frozen=True, kw_only=True):
    """What became of a fault while a system was served."""

    system: str
    fault: FaultEvent


class Over(Entry, frozen=True, kw_only=True):
    """A system's requests are done, or it was broken off (`complete` is False)."""

    system: str
    done: int
    complete: bool


class End(Entry, frozen=True, kw_only=True):
    """The run is over, with this exit status; `error` is what ended it early."""

    status: int
    error: str | None = None


JournalEvent = Run | Phase | Served | Incident | Faulted | Over | End
