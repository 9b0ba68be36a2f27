"""Faults in virtual time: injected when their time has come, looked at whether they took, healed.

The controller hears of a port at once, and `reroute_s` later all routes go around it, if the
controller is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from nodes.worlds.virtual.breakable_network import BreakableNetwork
from nodes.worlds.virtual.identity_store import SpoilableStore
from nodes.worlds.virtual.mortal_world import MortalCluster
from plan.errors import RunError
from plan.fabric import Fabric
from plan.faults import Fault, FaultEvent, Recovery
from plan.model import Plan
from plan.routing import Port

CONTROLLER = "controller"
What = Literal["injected", "healed", "detected", "recovered", "skipped"]


class Injector:
    """All faults of one run.

    Args:
        begin: has a node's program begin anew.
        stores: storage host -> its blocks.
        told: hears of everything that happens to a fault.
    """

    def __init__(
        self,
        plan: Plan,
        recovery: Recovery,
        cluster: MortalCluster,
        begin: Callable[[str], None],
        stores: dict[str, SpoilableStore],
        told: Callable[[FaultEvent], None],
    ) -> None:
        self._plan = plan
        self._recovery = recovery
        self._cluster = cluster
        self._network: BreakableNetwork = cluster.breakable
        self._agenda = cluster.agenda
        self._begin = begin
        self._stores = stores
        self._told = told
        self._places = Places(plan.fabric)
        self._controllers_down = 0
        self._downs: list[Fault] = []
        self._coming = [fault for fault in plan.faults if fault.at_share is not None]
        self._waiting = list(plan.faults)
        self._lasting = 0

    @property
    def over(self) -> bool:
        """Whether nothing is healed any more, when nothing is injected."""
        return not self._lasting

    def start(self) -> None:
        for fault in self._plan.faults:
            if fault.at_share is None:
                self._agenda.at(fault.at_s, self._inject, (fault,))

    def done(self, requests: int) -> None:
        """So many requests are done."""
        total = self._plan.requests
        if not self._coming or total is None:
            return
        for fault in list(self._coming):
            assert fault.at_share is not None
            if requests >= fault.at_share * total:
                self._coming.remove(fault)
                self._agenda.at(self._agenda.now_s + fault.at_s, self._inject, (fault,))

    def ends(self) -> None:
        """The run is over: what has not come does not come any more."""
        for fault in self._waiting:
            self._note("skipped", fault)
        self._waiting = []

    def _inject(self, fault: Fault) -> None:
        if fault not in self._waiting:
            return  # the run was over before
        self._waiting.remove(fault)
        detail = self._apply(fault)
        self._note("injected", fault, detail)
        if fault.for_s is not None:
            self._lasting += 1
            self._agenda.at(self._agenda.now_s + fault.for_s, self._heal, (fault,))

    def _heal(self, fault: Fault) -> None:
        self._lasting -= 1
        self._note("healed", fault, self._take_back(fault))

    def _apply(self, fault: Fault) -> str:
        match fault.kind:
            case "down":
                self._cut(fault)
            case "slow" | "loss":
                links = self._places.links(fault)
                left = _left(fault)
                before = [self._network.rate_share(link) for link in links]
                self._network.slow(links, left)
                for link, share in zip(links, before, strict=True):
                    self._see(fault, self._network.rate_share(link), share * left)
            case "kill":
                return self._kill(fault)
            case "power_off":
                self._cluster.hosts[fault.target].powered = False
                self._cut(fault)
                return self._kill(fault)
            case "pause":
                return self._pause(fault)
            case "corrupt":
                count = self._stores[fault.target].spoil(fault.blocks)
                return f"{count} Full Blocks"
            case "disk_full":
                self._stores[fault.target].full = True
        return ""

    def _take_back(self, fault: Fault) -> str:
        match fault.kind:
            case "down":
                self._mend(fault)
            case "slow" | "loss":
                self._network.quicken(self._places.links(fault), _left(fault))
            case "kill" | "power_off":
                if fault.kind == "power_off":
                    self._cluster.hosts[fault.target].powered = True
                    self._mend(fault)
                return self._back(fault)
            case "pause":
                if fault.target == CONTROLLER:
                    return self._back(fault)
                self._cluster.hosts[fault.target].resume(self._agenda.now_s)
            case "disk_full":
                self._stores[fault.target].full = False
            case "corrupt":
                pass
        return ""

    def _cut(self, fault: Fault) -> None:
        links = self._places.links(fault)
        self._downs.append(fault)
        self._network.cut(links)
        if self._network.crossed(links):
            raise RunError(f"{fault} did not take: something still moves there")
        self._ports_changed(fault)

    def _mend(self, fault: Fault) -> None:
        links = self._places.links(fault)
        self._downs.remove(fault)
        self._network.mend(links)
        self._cluster.send_waiting()
        for link in links:
            if self._network.rate_share(link) == 0.0 and not self._still_down(link):
                raise RunError(f"{fault} was not healed: nothing moves there")
        self._ports_changed(fault)

    def _still_down(self, link: int) -> bool:
        return any(link in self._places.links(fault) for fault in self._downs)

    def _ports_changed(self, fault: Fault) -> None:
        if not self._controllers_down:
            self._agenda.at(self._agenda.now_s + self._recovery.reroute_s, self._reroute, (fault,))

    def _reroute(self, fault: Fault) -> None:
        if self._controllers_down:
            return
        ports = frozenset(port for down in self._downs for port in self._places.ports(down))
        if ports == self._network.unrouted:
            return
        self._network.reroute(ports)
        self._cluster.send_waiting()
        if fault in self._downs:
            self._note("recovered", fault, "routes go around it")
        else:
            self._note("recovered", fault, "routes as before")

    def _kill(self, fault: Fault) -> str:
        if fault.target == CONTROLLER:
            self._controllers_down += 1
            return ""
        host = self._cluster.hosts[fault.target]
        if not host.alive:
            return "it was dead already"
        held = len(host.tasks)
        self._cluster.kill(fault.target)
        return f"{held} tasks ended"

    def _back(self, fault: Fault) -> str:
        if fault.target == CONTROLLER:
            self._controllers_down -= 1
            self._ports_changed(fault)
            return ""
        host = self._cluster.hosts[fault.target]
        if host.alive or not host.powered:
            return "it is there again" if host.alive else "its power is off"
        self._begin(fault.target)
        return f"life {host.life}"

    def _pause(self, fault: Fault) -> str:
        if fault.target == CONTROLLER:
            self._controllers_down += 1
            return ""
        host = self._cluster.hosts[fault.target]
        if not host.alive:
            return "it was dead already"
        host.pause(self._agenda.now_s)
        return ""

    def _see(self, fault: Fault, found: float, wanted: float) -> None:
        if abs(found - wanted) > 1e-9:
            raise RunError(f"{fault} did not take: {found:.3%} of the rate is left")

    def _note(self, what: What, fault: Fault, detail: str = "") -> None:
        self._told(
            FaultEvent(
                t_s=self._agenda.now_s,
                what=what,
                kind=fault.kind,
                target=fault.target,
                detail=detail,
            )
        )


class Places:
    """The directed links and the ports behind the targets of faults."""

    def __init__(self, fabric: Fabric) -> None:
        self._links: dict[str, tuple[tuple[int, Port], ...]] = {}
        ports: dict[str, list[tuple[int, Port]]] = {}
        for i, nic in enumerate(fabric.nics):
            sides = ((2 * i, (nic.switch, nic.port)), (2 * i + 1, (nic.switch, nic.port)))
            self._links[nic.name] = sides
            ports.setdefault(nic.switch, []).extend(sides)
            ports.setdefault(nic.node, []).extend(sides)
        for j, link in enumerate(fabric.links, len(fabric.nics)):
            both = ((2 * j, (link.a, link.a_port)), (2 * j + 1, (link.b, link.b_port)))
            self._links[link.name] = both
            ports.setdefault(link.a, []).extend(both)
            ports.setdefault(link.b, []).extend(both)
        for name, there in ports.items():
            self._links[name] = tuple(there)

    def links(self, fault: Fault) -> list[int]:
        """Directed links, numbered as in `flow_routes`, once each."""
        found = self._links[fault.target]
        if fault.way != "both":
            found = found[:1] if fault.way == "out" else found[1:]
        return [link for link, _ in found]

    def ports(self, fault: Fault) -> list[Port]:
        """Ports of switches that are of no use."""
        return [port for _, port in self._links[fault.target]]


def _left(fault: Fault) -> float:
    """What is sent again takes the place of something else."""
    return fault.to if fault.kind == "slow" else 1.0 - fault.share
