"""What a run could leave behind on the machine, so that before and after can be compared."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
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


def differences(before: Machine, after: Machine) -> list[str]:
    """What has come and what has gone between two looks, one line each."""
    found = []
    for field in fields(Machine):
        old, new = (_parts(getattr(machine, field.name)) for machine in (before, after))
        found += [f"{field.name}: gone {part!r}" for part in old - new]
        found += [f"{field.name}: come {part!r}" for part in new - old]
    return found + [_described(pid) for pid in after.processes - before.processes]


def eventually(holds: Callable[[], bool], within_s: float) -> bool:
    """Whether it holds before so many seconds are over."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)  # noqa: TID251  between two looks
    return True


def _described(pid: str) -> str:
    """What a process is and where in the kernel it waits."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        status = Path(f"/proc/{pid}/status").read_text().split("\n")
        waits = Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return f"{pid}: has ended since"
    return f"{pid}: {command!r} {status[0]} {status[2]} {status[6]} waits in {waits}"


def _parts(seen: str | frozenset[object]) -> set[object]:
    return set(seen.splitlines()) if isinstance(seen, str) else set(seen)


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
