"""Where a result comes from: code, versions, machine, command and time."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from scenarios.results.revision import revision

PACKAGES = ("mininet", "ryu", "eventlet", "msgspec", "numpy", "scapy")
DISTRIBUTION = "dualpath-testbed"


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to run again and to compare with another machine.

    Attributes:
        command: the command line; started: local time with offset, ISO 8601.
        project: version, and git revision with `-dirty` for uncommitted changes
            (`scenarios.results.revision`).
        datapath: Open vSwitch datapath of the run, None for a simulated one.
        core: what runs in virtual time go by, None for an emulated one.
        dilation: how it was found, None where the scenario says it.
        packages: version by package.
        plugins: SHA-256 of each one's source.
        memory_bytes: of the machine.
    """

    command: str
    started: str
    seed: int
    project: str
    python: str
    kernel: str
    cpu: str
    cores: int
    memory_bytes: int
    openvswitch: str
    datapath: str | None
    core: str | None
    dilation: str | None
    packages: dict[str, str]
    plugins: dict[str, str] = {}


def collect(
    command: Sequence[str],
    seed: int,
    *,
    datapath: str | None = None,
    core: str | None = None,
    dilation: str | None = None,
) -> Provenance:
    """Describe this process, its code and its machine, now."""
    return Provenance(
        command=" ".join(command),
        started=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        seed=seed,
        project=f"{_version(DISTRIBUTION)} ({revision(Path(__file__).parents[2])})",
        python=platform.python_version(),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        openvswitch=_first_line("ovs-vswitchd", "--version"),
        datapath=datapath,
        core=core,
        dilation=dilation,
        packages={name: _version(name) for name in PACKAGES},
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return next(iter(done.stdout.splitlines()), "unknown")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
