"""Faults of an emulated run: done to its fabric and its processes when their time has come.

What is done is read back, and so is its healing; what did not take ends the run.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from plan.errors import RunError
from plan.fabric import Fabric
from plan.faults import Fault, FaultEvent
from plan.model import Plan
from plan.names import direction, into, out_of
from scenarios.running.fabric import Fabric as RunningFabric
from scenarios.running.node_processes import NodeProcesses
from topology.injuries import Injuries

CONTROLLER = "controller"
What = Literal["injected", "healed", "detected", "recovered", "skipped"]


class Injection:
    """All faults of one system's run. Times: model seconds since its start.

    Args:
        directory: the system's own, in which storage hosts have their blocks.
        told: hears of everything that happens to a fault.
    """

    def __init__(
        self,
        plan: Plan,
        fabric: RunningFabric,
        nodes: NodeProcesses,
        directory: Path,
        told: Callable[[FaultEvent], None],
    ) -> None:
        self._plan = plan
        self._nodes = nodes
        self._controller = fabric.controller
        self._injuries = Injuries(fabric.network, plan)
        self._places = Places(plan.fabric)
        self._told = told
        self._directory = directory
        self._spoilt = 0
        self._due: list[tuple[float, Fault]] = [
            (fault.at_s, fault) for fault in plan.faults if fault.at_share is None
        ]
        self._by_share = [fault for fault in plan.faults if fault.at_share is not None]
        self._lasting: list[tuple[float, Fault]] = []
        self._rerouting: list[tuple[Fault, bool]] = []
        self._rerouted = fabric.controller.rerouted

    @property
    def lasts(self) -> bool:
        """Whether anything is broken."""
        return bool(self._lasting)

    def left_s(self, now_s: float) -> float:
        """How long nothing is to be done."""
        times = [at_s for at_s, _ in (*self._due, *self._lasting)]
        return max(0.0, min(times, default=float("inf")) - now_s)

    def look(self, now_s: float, done: int) -> None:
        """Do what is due; so many requests are done.

        Raises:
            RunError: a fault, or its end, did not take.
        """
        self._heed_controller(now_s)
        for fault in list(self._by_share):
            total = self._plan.requests
            assert fault.at_share is not None
            if total is not None and done >= fault.at_share * total:
                self._by_share.remove(fault)
                self._due.append((now_s + fault.at_s, fault))
        for entry in [entry for entry in self._lasting if entry[0] <= now_s]:
            self._lasting.remove(entry)
            self._heal(entry[1], now_s)
        for entry in [entry for entry in self._due if entry[0] <= now_s]:
            self._due.remove(entry)
            self._inject(entry[1], now_s)

    def ends(self, now_s: float) -> None:
        """The run is over: all that lasts is healed, so that all can end in order."""
        for _, fault in self._lasting:
            self._heal(fault, now_s)
        for fault in (*(fault for _, fault in self._due), *self._by_share):
            self._note("skipped", fault, now_s)
        self._lasting, self._due, self._by_share = [], [], []

    def _inject(self, fault: Fault, now_s: float) -> None:
        until_s = float("inf") if fault.for_s is None else now_s + fault.for_s
        detail = self._apply(fault)
        self._note("injected", fault, now_s, detail)
        if fault.kind != "corrupt":
            self._lasting.append((until_s, fault))

    def _heal(self, fault: Fault, now_s: float) -> None:
        self._note("healed", fault, now_s, self._take_back(fault))

    def _apply(self, fault: Fault) -> str:
        match fault.kind:
            case "down":
                self._cut(fault)
            case "slow":
                for egress in self._places.egresses(fault):
                    self._injuries.slow(egress, fault.to)
            case "loss":
                for egress in self._places.egresses(fault):
                    self._injuries.lose(egress, fault.share)
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

    def _take_back(self, fault: Fault) -> str:
        match fault.kind:
            case "down":
                self._mend(fault)
            case "slow":
                for egress in self._places.egresses(fault):
                    self._injuries.quicken(egress, fault.to)
            case "loss":
                lost = [
                    self._injuries.keep(egress, fault.share)
                    for egress in self._places.egresses(fault)
                ]
                return f"{sum(lost)} frames lost"
            case "pause":
                return self._pause(fault.target, paused=False)
            case "power_off":
                self._mend(fault)
                return self._begin(fault.target)
            case "kill":
                return self._begin(fault.target)
            case "disk_full":
                self._limit(fault.target, resource.RLIM_INFINITY)
        return ""

    def _cut(self, fault: Fault) -> None:
        self._controller.expected |= self._places.ports(fault)
        self._injuries.cut(self._places.devices(fault))
        self._rerouting.append((fault, True))

    def _mend(self, fault: Fault) -> None:
        self._injuries.mend(self._places.devices(fault))
        self._rerouting.append((fault, False))

    def _heed_controller(self, now_s: float) -> None:
        if self._controller.rerouted == self._rerouted:
            return
        self._rerouted = self._controller.rerouted
        for fault, down in self._rerouting:
            said = "routes go around it" if down else "routes as before"
            self._note("recovered", fault, now_s, said)
        self._rerouting = []

    def _kill(self, node: str) -> str:
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
            os.kill(self._controller.pid, signal.SIGSTOP if paused else signal.SIGCONT)
            return ""
        if not self._nodes.alive(target):
            return "it was dead already"
        self._nodes.pause(target, paused=paused)
        return ""

    def _note(self, what: What, fault: Fault, now_s: float, detail: str = "") -> None:
        self._told(
            FaultEvent(t_s=now_s, what=what, kind=fault.kind, target=fault.target, detail=detail)
        )


class Places:
    """The devices, egresses and ports behind the targets of faults."""

    def __init__(self, fabric: Fabric) -> None:
        self._devices: dict[str, list[str]] = {}
        self._egresses: dict[str, list[str]] = {}
        self._ports: dict[str, set[tuple[str, int]]] = {}
        for nic in fabric.nics:
            ways = [out_of(nic.name), into(nic.name)]
            for target in (nic.name, nic.node, nic.switch):
                self._add(target, [nic.switch_device], ways, {(nic.switch, nic.port)})
        for link in fabric.links:
            ways = [direction(link.a, link.b), direction(link.b, link.a)]
            ports = {(link.a, link.a_port), (link.b, link.b_port)}
            for target in (link.name, link.a, link.b):
                self._add(target, [link.a_device, link.b_device], ways, ports)

    def _add(
        self, target: str, devices: list[str], ways: list[str], ports: set[tuple[str, int]]
    ) -> None:
        self._devices.setdefault(target, []).extend(devices)
        self._egresses.setdefault(target, []).extend(ways)
        self._ports.setdefault(target, set()).update(ports)

    def devices(self, fault: Fault) -> list[str]:
        """Of the switches."""
        return self._devices[fault.target]

    def egresses(self, fault: Fault) -> list[str]:
        """By name, of the way that the fault has."""
        found = self._egresses[fault.target]
        return {"both": found, "out": found[:1], "in": found[1:]}[fault.way]

    def ports(self, fault: Fault) -> set[tuple[str, int]]:
        """Switch and number."""
        return self._ports[fault.target]
