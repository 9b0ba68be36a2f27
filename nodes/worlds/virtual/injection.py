"""Faults in virtual time: injected when their time has come, looked at whether they took, healed.

The controller hears of a port at once, and `reroute_s` later all routes go around it, if the
controller is there.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.worlds.virtual.breakable_network import BreakableNetwork
from nodes.worlds.virtual.flow_routes import directed_links
from nodes.worlds.virtual.identity_store import SpoilableStore
from nodes.worlds.virtual.mortal_world import MortalCluster
from plan.errors import RunError
from plan.fault_schedule import CONTROLLER, NEVER, FaultSchedule, Places
from plan.faults import Fault, FaultEvent, Recovery
from plan.model import Plan


class Injector:
    """All faults of one run, and the hands that do them.

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
        self._recovery = recovery
        self._cluster = cluster
        self._network: BreakableNetwork = cluster.breakable
        self._agenda = cluster.agenda
        self._begin = begin
        self._stores = stores
        self._places = Places(plan.fabric)
        self._numbers = directed_links(plan.fabric)
        self._controllers_down = 0
        self._downs: list[Fault] = []
        self._schedule = FaultSchedule(plan.faults, plan.requests, self, told)
        self._alarm_s = NEVER

    @property
    def over(self) -> bool:
        """Whether nothing is healed any more, when nothing is injected."""
        return self._schedule.next_s == NEVER

    def start(self) -> None:
        self._set_alarm()

    def done(self, requests: int) -> None:
        """So many requests are done."""
        self._schedule.done(requests, self._agenda.now_s)
        self._set_alarm()

    def ends(self) -> None:
        """The run is over: what has not come does not come any more."""
        self._schedule.skip_rest(self._agenda.now_s)

    def _set_alarm(self) -> None:
        next_s = self._schedule.next_s
        if next_s < self._alarm_s:
            self._alarm_s = next_s
            self._agenda.at(next_s, self._look, ())

    def _look(self) -> None:
        self._alarm_s = NEVER
        self._schedule.look(self._agenda.now_s)
        self._set_alarm()

    def apply(self, fault: Fault) -> str:
        match fault.kind:
            case "down":
                self._cut(fault)
            case "slow" | "loss":
                links = self._links(fault)
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

    def take_back(self, fault: Fault) -> str:
        match fault.kind:
            case "down":
                self._mend(fault)
            case "slow" | "loss":
                self._network.quicken(self._links(fault), _left(fault))
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
        links = self._links(fault)
        self._downs.append(fault)
        self._network.cut(links)
        if self._network.crossed(links):
            raise RunError(f"{fault} did not take: something still moves there")
        self._ports_changed(fault)

    def _mend(self, fault: Fault) -> None:
        links = self._links(fault)
        self._downs.remove(fault)
        self._network.mend(links)
        self._cluster.send_waiting()
        for link in links:
            if self._network.rate_share(link) == 0.0 and not self._still_down(link):
                raise RunError(f"{fault} was not healed: nothing moves there")
        self._ports_changed(fault)

    def _still_down(self, link: int) -> bool:
        return any(link in self._links(fault) for fault in self._downs)

    def _ports_changed(self, fault: Fault) -> None:
        if not self._controllers_down:
            self._agenda.at(self._agenda.now_s + self._recovery.reroute_s, self._reroute, (fault,))

    def _reroute(self, fault: Fault) -> None:
        if self._controllers_down:
            return
        ports = frozenset(port for down in self._downs for port in self._places.down(down))
        if ports == self._network.unrouted:
            return
        self._network.reroute(ports)
        self._cluster.send_waiting()
        if fault in self._downs:
            self._schedule.note("recovered", fault, self._agenda.now_s, "routes go around it")
        else:
            self._schedule.note("recovered", fault, self._agenda.now_s, "routes as before")

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

    def _links(self, fault: Fault) -> list[int]:
        """Directed links, numbered as in `flow_routes`, once each."""
        return [self._numbers[way.egress] for way in self._places.hurt(fault)]


def _left(fault: Fault) -> float:
    """What is sent again takes the place of something else."""
    return fault.to if fault.kind == "slow" else 1.0 - fault.share
