"""Can this machine carry the testbed? Found out by doing, in namespaces that vanish again.

A module that is listed may not load and one that is built in is not listed, so every
kernel facility is used once, on throw-away devices in a private network.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from topology.ovs import SCHEMA

MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 2**30
_PIDFD_GETFD = 438

_PROGRAMS = {
    "ovsdb-server": "openvswitch-switch",
    "ovsdb-tool": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
    "ovs-vsctl": "openvswitch-switch",
    "ovs-ofctl": "openvswitch-switch",
    "mnexec": "mininet",
    "ifconfig": "net-tools",
    "ip": "iproute2",
    "tc": "iproute2",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
"""Programs that are run, and the Debian package of each."""
_CAPTURE_PROGRAMS = {"tcpdump": "tcpdump"}

PACKAGES = ("eventlet", "lmdb", "mininet", "ryu", "scapy", "setuptools")
"""Python packages that only emulated runs use: our extra `emulate`."""
# ryu's build reads what later releases of setuptools have removed
_BUILD_TOOLS = "setuptools==67.8.0 wheel pbr"

_SANDBOX = ("unshare", "-n", "-m", "-p", "-f", "--kill-child", "--mount-proc")
_PAIR = "ip link add probe0 type veth peer name probe1"
_HTB = (
    f"{_PAIR} && tc qdisc add dev probe0 root handle 1: htb default 1 && "
    "tc class add dev probe0 parent 1: classid 1:1 htb rate 1mbit"
)
_FACILITIES = {
    "veth pairs": (_PAIR, "modprobe veth"),
    "macvlan in VEPA mode": (
        f"{_PAIR} && ip link add link probe0 name probe2 type macvlan mode vepa",
        "modprobe macvlan",
    ),
    "HTB queueing": (_HTB, "modprobe sch_htb"),
    "byte FIFOs": (
        f"{_HTB} && tc qdisc add dev probe0 parent 1:1 bfifo limit 1000000",
        "use a kernel built with CONFIG_NET_SCHED",
    ),
    "u32 filters": (
        f"{_HTB} && tc filter add dev probe0 parent 1: protocol ip prio 1 "
        "u32 match ip tos 0x68 0xfc flowid 1:1",
        "modprobe cls_u32",
    ),
}
"""What the kernel must do: a command that uses it, and the remedy where it fails."""


@dataclass(frozen=True)
class Problem:
    """Something this machine lacks, in plain words, and what to do about it."""

    what: str
    remedy: str


def check(*, capture: bool = False) -> list[Problem]:
    """Everything that keeps the testbed from running here; empty when nothing does.

    Args:
        capture: links are to be recorded.
    """
    programs = _PROGRAMS | (_CAPTURE_PROGRAMS if capture else {})
    problems = [*_python(), *_packages(), *_missing(programs), *_memory(), *_root()]
    # without root or the programs each probe would fail for that reason alone
    return problems or [*_sandbox(), *_pidfd_getfd()]


def _python() -> Iterator[Problem]:
    if sys.version_info < MIN_PYTHON:
        yield Problem(
            f"Python is {sys.version.split()[0]}, older than 3.11", "apt-get install python3.11"
        )


def _packages() -> Iterator[Problem]:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        pip = f"{sys.executable} -m pip install"
        yield Problem(
            f"not installed for Python: {', '.join(missing)}",
            f"{pip} {_BUILD_TOOLS} && {pip} --no-build-isolation 'dualpath-testbed[emulate]'",
        )


def _root() -> Iterator[Problem]:
    if os.geteuid() != 0:
        yield Problem("not run as root", f"sudo {' '.join(sys.orig_argv)}")


def _missing(programs: Mapping[str, str]) -> Iterator[Problem]:
    for program, package in programs.items():
        if shutil.which(program) is None:
            yield Problem(f"program {program} is not there", f"apt-get install {package}")
    if not SCHEMA.exists():
        yield Problem(
            f"Open vSwitch's database schema {SCHEMA} is not there",
            "apt-get install openvswitch-switch",
        )


def free_bytes() -> int:
    """Memory that programs can still have, bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def _memory() -> Iterator[Problem]:
    free = free_bytes()
    if free < MIN_FREE_BYTES:
        yield Problem(
            f"only {free / 2**20:.0f} MiB of memory are free, {MIN_FREE_BYTES / 2**20:.0f} needed",
            "end other programs, or use a machine with more memory",
        )


def _sandbox() -> Iterator[Problem]:
    said = _failure("true")
    if said is not None:
        yield Problem(
            f"private namespaces can't be made: {said}",
            "run on the host or in a container started with --privileged",
        )
        return
    for what, (command, remedy) in _FACILITIES.items():
        said = _failure(command)
        if said is not None:
            yield Problem(f"the kernel does not do {what}: {said}", remedy)


def _failure(command: str) -> str | None:
    """What a command said when it failed in a sandbox of its own; None if it did not."""
    done = subprocess.run([*_SANDBOX, "sh", "-c", command], capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip()


def _pidfd_getfd() -> Iterator[Problem]:
    """Borrow a descriptor of our own process."""
    libc = ctypes.CDLL(None, use_errno=True)
    reader, writer = os.pipe()
    pidfd = os.pidfd_open(os.getpid())
    try:
        borrowed = libc.syscall(_PIDFD_GETFD, pidfd, reader, 0)
        if borrowed < 0:
            yield Problem(
                f"pidfd_getfd fails: {os.strerror(ctypes.get_errno())}",
                "use Linux 5.6 or later and allow ptrace (container: --cap-add SYS_PTRACE)",
            )
        else:
            os.close(borrowed)
    finally:
        for descriptor in (reader, writer, pidfd):
            os.close(descriptor)
