"""Who used the processors: the switch, the controller, the nodes, and programs of others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

from scenarios.results.result import CpuShares

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class CpuTimes(msgspec.Struct, frozen=True, kw_only=True):
    """CPU seconds used so far, as in `CpuShares`; `machine` is all of the machine's.

    Attributes:
        switches: of every switch daemon.
    """

    at_s: float
    switches: tuple[float, ...]
    controller: float
    nodes: float
    machine: float

    @classmethod
    def read(cls, switches: Iterable[int], controller: int | None, nodes: Iterable[int]) -> Self:
        """Of processes that still run, by their ids.

        Raises:
            FileNotFoundError: there is no such process.
        """
        return cls(
            at_s=time.monotonic(),
            switches=tuple(map(process_s, switches)),
            controller=0.0 if controller is None else process_s(controller),
            nodes=sum(map(process_s, nodes)),
            machine=_machine_s(),
        )

    def since(self, before: Self) -> CpuShares:
        """Processors used between two readings."""
        elapsed_s = self.at_s - before.at_s
        controller, nodes, machine = (
            (getattr(self, name) - getattr(before, name)) / elapsed_s
            for name in ("controller", "nodes", "machine")
        )
        switches = [
            (now - then) / elapsed_s
            for now, then in zip(self.switches, before.switches, strict=True)
        ]
        switch = sum(switches)
        # the machine's total is rounded by the tick, so it may fall short of the parts' sum
        others = max(0.0, machine - switch - controller - nodes)
        return CpuShares(
            wall_s=elapsed_s,
            switch=switch,
            controller=controller,
            nodes=nodes,
            others=others,
            busiest_switch=max(switches),
        )


def process_s(pid: int) -> float:
    """User and system time of a process with all its threads."""
    # the program's name, in brackets, may hold spaces
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _machine_s() -> float:
    """Time that all processors were not idle."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK_S
