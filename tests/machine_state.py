"""What a run could leave behind on the machine, so that before and after can be compared."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from topology.namespace import run

LEFT_DIRECTORIES = (
    "/run",
    "/tmp",
    "/var/log/openvswitch",
    "/etc/openvswitch",
    "/var/lib/openvswitch",
)
SYSCTLS = Path("/proc/sys")
MOVING = {"ns_last_pid"}
"""Settings that change by themselves."""


@dataclass(frozen=True)
class Machine:
    """As seen from outside a run's sandbox."""

    processes: frozenset[str]
    namespaces: frozenset[str]
    interfaces: str
    mounts: str
    files: frozenset[str]
    sysctls: frozenset[tuple[str, bytes]]


def look() -> Machine:
    """The machine now."""
    pids = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    return Machine(
        processes=frozenset(pids),
        namespaces=frozenset(space for pid in pids for space in _namespaces(pid)),
        interfaces=run(["ip", "-br", "link"]),
        mounts=Path("/proc/mounts").read_text(),
        files=frozenset(path for directory in LEFT_DIRECTORIES for path in _files(directory)),
        sysctls=frozenset(_sysctls()),
    )


def eventually(holds: Callable[[], bool], within_s: float) -> bool:
    """Whether it holds before so many seconds are over."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)  # noqa: TID251  between two looks
    return True


def _namespaces(pid: str) -> Iterator[str]:
    for kind in ("net", "mnt", "pid"):
        try:
            yield os.readlink(f"/proc/{pid}/ns/{kind}")
        except FileNotFoundError:  # the process ended while we looked
            return


def _files(top: str) -> Iterator[str]:
    """Everything below a directory, but not what is mounted there."""
    for directory, folders, names in os.walk(top):
        yield from (os.path.join(directory, name) for name in (*folders, *names))
        folders[:] = [name for name in folders if not os.path.ismount(f"{directory}/{name}")]


def _sysctls() -> Iterator[tuple[str, bytes]]:
    """All that can be set and read back."""
    for directory, _, names in os.walk(SYSCTLS):
        for name in set(names) - MOVING:
            path = Path(directory, name)
            try:
                mode = path.stat().st_mode
                if mode & stat.S_IWUSR and mode & stat.S_IRUSR:
                    yield str(path), path.read_bytes()
            except OSError:  # not to be read here, whatever its mode says
                continue
