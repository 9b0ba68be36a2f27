"""Which processes get a processor first.

What a run's processes wait for each other is the model's; what they wait for a processor that
another program holds is not. So switches, controller and nodes are scheduled in real time. The
kernel keeps a twentieth of every processor for the others.

Nodes come before switches. What a node is woken for takes a fraction of a millisecond, while a
busy switch holds its processor for tens of them, and as long all nodes would have to wait for
each other on what processors are left. The switch loses next to nothing by it: frames wait in
queues, where they would have to wait for the link anyway.

Where there is no real time to be had (a container without a budget for it), nice values have to
do. Linux shares processors out to sessions before it looks at the nice values of their processes
(autogroups), so a session is given its leader's, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import NamedTuple


class _Claim(NamedTuple):
    real_time: int
    nice: int


class Rank(Enum):
    """Timers and counters wait for nobody; frames wait for them."""

    NODE = _Claim(3, -20)
    SWITCH = _Claim(2, -15)
    START = _Claim(1, -10)
    """Of a node until it is ready: that is long work, which holds up no switch."""


@contextmanager
def preferred(rank: Rank) -> Iterator[None]:
    """Rank this thread above other programs for a while, where there is real time to be had."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(rank.value.real_time))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def in_real_time(pid: int) -> bool:
    """Whether other programs wait for the process `pid`, and not it for them.

    Raises:
        ProcessLookupError: there is no such process.
    """
    return os.sched_getscheduler(pid) == os.SCHED_RR


def prefer(pid: int, rank: Rank) -> None:
    """Rank the process `pid`, which leads a session, above other programs.

    Raises:
        OSError: no such process, or not root.
    """
    try:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(rank.value.real_time))
    except PermissionError:
        os.setpriority(os.PRIO_PROCESS, pid, rank.value.nice)
        # a kernel without autogroups has no such file, and needs none
        with suppress(FileNotFoundError):
            Path(f"/proc/{pid}/autogroup").write_text(str(rank.value.nice))
