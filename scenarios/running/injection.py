"""Faults of an emulated run: done to its fabric and its processes when their time has come.

What is done is read back, and so is its healing; what did not take ends the run.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

from plan.errors import RunError
from plan.fault_schedule import CONTROLLER, FaultSchedule, Places
from plan.faults import Fault, FaultEvent
from plan.model import Plan
from scenarios.results.fidelity import AFTERMATH_S
from scenarios.running.fabric import Fabric
from scenarios.running.node_processes import NodeProcesses
from topology.injuries import Injuries


class Injection:
    """All faults of one system's run. Times: model seconds since its start.

    Args:
        directory: the system's own, in which storage hosts have their blocks.
        told: hears of everything that happens to a fault.
    """

    def __init__(
        self,
        plan: Plan,
        fabric: Fabric,
        nodes: NodeProcesses,
        directory: Path,
        told: Callable[[FaultEvent], None],
    ) -> None:
        self._nodes = nodes
        self._controller = fabric.controller
        self._injuries = Injuries(fabric.network, plan)
        self._places = Places(plan.fabric)
        self._directory = directory
        self._spoilt = 0
        self._schedule = FaultSchedule(plan.faults, plan.requests, self, told)
        self._rerouting: list[tuple[Fault, str]] = []  # and what to say when the controller has
        self._rerouted = fabric.controller.rerouted

    def excuses(self, now_s: float) -> bool:
        """Whether anything is broken, or was until a moment ago."""
        return self._schedule.lasts or now_s < self._schedule.over_s + AFTERMATH_S

    def left_s(self, now_s: float) -> float:
        """How long nothing is to be done."""
        return max(0.0, self._schedule.next_s - now_s)

    def look(self, now_s: float, done: int) -> None:
        """Do what is due; so many requests are done.

        Raises:
            RunError: a fault, or its end, did not take.
        """
        self._heed_controller(now_s)
        self._schedule.done(done, now_s)
        self._schedule.look(now_s)

    def ends(self, now_s: float) -> None:
        """The run is over: all that lasts is healed, so that all can end in order."""
        self._schedule.heal_all(now_s)
        self._schedule.skip_rest(now_s)

    def apply(self, fault: Fault) -> str:
        match fault.kind:
            case "down" if fault.way != "both":
                self._lose(fault, 1.0)
            case "down":
                self._cut(fault)
            case "slow":
                for way in self._places.hurt(fault):
                    self._injuries.slow(way.egress, fault.to)
            case "loss":
                self._lose(fault, fault.share)
            case "pause":
                return self._pause(fault.target, paused=True)
            case "power_off":
                self._cut(fault)
                return self._kill(fault.target)
            case "kill":
                return self._kill(fault.target)
            case "corrupt":
                return self._spoil(fault)
            case "disk_full":
                return self._fill(fault.target)
        return ""

    def take_back(self, fault: Fault) -> str:
        match fault.kind:
            case "down" if fault.way != "both":
                return self._keep(fault, 1.0)
            case "down":
                self._mend(fault)
            case "slow":
                for way in self._places.hurt(fault):
                    self._injuries.quicken(way.egress, fault.to)
            case "loss":
                return self._keep(fault, fault.share)
            case "pause":
                return self._pause(fault.target, paused=False)
            case "power_off":
                self._mend(fault)
                return self._begin(fault.target)
            case "kill" if fault.target == CONTROLLER:
                life = self._controller.begin()
                self._nodes.watch_controller()
                self._rerouting.append((fault, "all switches are led again"))
                return f"life {life}"
            case "kill":
                return self._begin(fault.target)
            case "disk_full":
                self._limit(fault.target, resource.RLIM_INFINITY)
        return ""

    def _cut(self, fault: Fault) -> None:
        ports = self._places.down(fault)
        self._controller.expected |= set(ports)
        self._injuries.cut(list(ports.values()))
        self._rerouting.append((fault, "routes go around it"))

    def _mend(self, fault: Fault) -> None:
        self._injuries.mend(list(self._places.down(fault).values()))
        self._rerouting.append((fault, "routes as before"))

    def _lose(self, fault: Fault, share: float) -> None:
        for way in self._places.hurt(fault):
            self._injuries.lose(way.egress, share)

    def _keep(self, fault: Fault, share: float) -> str:
        lost = [self._injuries.keep(way.egress, share) for way in self._places.hurt(fault)]
        return f"{sum(lost)} frames lost"

    def _heed_controller(self, now_s: float) -> None:
        if self._controller.rerouted == self._rerouted:
            return
        self._rerouted = self._controller.rerouted
        for fault, said in self._rerouting:
            self._schedule.note("recovered", fault, now_s, said)
        self._rerouting = []

    def _kill(self, node: str) -> str:
        if node == CONTROLLER:
            self._nodes.leave_controller()
            self._controller.end()
            return ""
        if not self._nodes.alive(node):
            return "it was dead already"
        self._nodes.end(node)
        return ""

    def _begin(self, node: str) -> str:
        if self._nodes.alive(node):
            return "it is there again"
        return f"life {self._nodes.begin(node)}"

    def _spoil(self, fault: Fault) -> str:
        if not self._nodes.alive(fault.target):
            return "it was dead already"
        self._spoilt += 1
        blocks = self._nodes.spoil(fault.target, fault.blocks, self._spoilt)
        return f"{blocks} Full Blocks"

    def _fill(self, host: str) -> str:
        """Its files grow no more."""
        files = list((self._directory / f"{host}.blocks").iterdir())
        size = max(file.stat().st_size for file in files)
        self._limit(host, size)
        return f"no file beyond {size} bytes"

    def _limit(self, host: str, size: int) -> None:
        if not self._nodes.alive(host):
            return
        pid, hard = self._nodes.pid(host), resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        if resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] != size:
            raise RunError(f"the limit of files of {host} did not take")

    def _pause(self, target: str, *, paused: bool) -> str:
        if target == CONTROLLER:
            if not self._controller.alive:
                return "it was dead already"
            os.kill(self._controller.pid, signal.SIGSTOP if paused else signal.SIGCONT)
            self._controller.forsaken = True
            return ""
        if not self._nodes.alive(target):
            return "it was dead already"
        self._nodes.pause(target, paused=paused)
        return ""
