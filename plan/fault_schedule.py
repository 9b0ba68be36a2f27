"""When what is to break breaks and is healed, and where: the same in both worlds, whose hands
differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from plan.fabric import Fabric
from plan.faults import Fault, FaultEvent
from plan.names import into, out_of

CONTROLLER = "controller"
What = Literal["injected", "healed", "detected", "recovered", "skipped"]
NEVER = float("inf")


class Hands(Protocol):
    """What breaks things, and takes that back; each answers with a clause, perhaps empty.

    Raises:
        RunError: it did not take.
    """

    def apply(self, fault: Fault) -> str: ...

    def take_back(self, fault: Fault) -> str: ...


class FaultSchedule:
    """All faults of one run. Times: model seconds since its start.

    Args:
        requests: in all; None where agents come without end.
        told: hears of everything that happens to a fault.

    Attributes:
        over_s: when the last of what was broken was healed; before anything was, long ago.
    """

    def __init__(
        self,
        faults: Sequence[Fault],
        requests: int | None,
        hands: Hands,
        told: Callable[[FaultEvent], None],
    ) -> None:
        self._requests = requests
        self._hands = hands
        self._told = told
        self._numbers = {fault: number for number, fault in enumerate(faults)}
        self._due = [(fault.at_s, fault) for fault in faults if fault.at_share is None]
        self._by_share = [fault for fault in faults if fault.at_share is not None]
        self._lasting: list[tuple[float, Fault]] = []
        self.over_s = -NEVER

    @property
    def lasts(self) -> bool:
        """Whether anything is broken."""
        return bool(self._lasting)

    @property
    def next_s(self) -> float:
        """When there is something to do; `NEVER`: not before more requests are done, or at all."""
        return min((at_s for at_s, _ in (*self._due, *self._lasting)), default=NEVER)

    def done(self, requests: int, now_s: float) -> None:
        """So many requests are done."""
        for fault in list(self._by_share):
            assert fault.at_share is not None
            if self._requests is not None and requests >= fault.at_share * self._requests:
                self._by_share.remove(fault)
                self._due.append((now_s + fault.at_s, fault))

    def look(self, now_s: float) -> None:
        """Do what is due: first what is over is healed.

        Raises:
            RunError: a fault, or its end, did not take.
        """
        for entry in [entry for entry in self._lasting if entry[0] <= now_s]:
            self._lasting.remove(entry)
            self._heal(entry[1], now_s)
        for entry in [entry for entry in self._due if entry[0] <= now_s]:
            self._due.remove(entry)
            self._inject(entry[1], now_s)

    def heal_all(self, now_s: float) -> None:
        """Whatever lasts is over."""
        lasting, self._lasting = self._lasting, []
        for _, fault in lasting:
            self._heal(fault, now_s)

    def skip_rest(self, now_s: float) -> None:
        """The run is over: what has not come does not come any more."""
        for fault in (*(fault for _, fault in self._due), *self._by_share):
            self.note("skipped", fault, now_s)
        self._due, self._by_share = [], []

    def note(self, what: What, fault: Fault, now_s: float, detail: str = "") -> None:
        """Tell what happened to a fault."""
        self._told(
            FaultEvent(
                t_s=now_s,
                what=what,
                kind=fault.kind,
                target=fault.target,
                detail=detail,
                fault=self._numbers[fault],
            )
        )

    def _inject(self, fault: Fault, now_s: float) -> None:
        self.note("injected", fault, now_s, self._hands.apply(fault))
        if fault.kind != "corrupt":
            until_s = NEVER if fault.for_s is None else now_s + fault.for_s
            self._lasting.append((until_s, fault))
        else:
            self.over_s = now_s

    def _heal(self, fault: Fault, now_s: float) -> None:
        self.note("healed", fault, now_s, self._hands.take_back(fault))
        self.over_s = now_s


class Way(NamedTuple):
    """One direction of a NIC or link.

    Attributes:
        egress: by its name.
        port: the switch's that the NIC is at, or that the direction starts from.
        device: that port's.
    """

    egress: str
    port: tuple[str, int]
    device: str


class Places:
    """The directions behind the targets of faults."""

    def __init__(self, fabric: Fabric) -> None:
        self._ways: dict[str, list[Way]] = {}
        for nic in fabric.nics:
            port = (nic.switch, nic.port)
            ways = [
                Way(egress, port, nic.switch_device)
                for egress in (out_of(nic.name), into(nic.name))
            ]
            self._add((nic.name, nic.node, nic.switch), ways)
        for link in fabric.links:
            there, back = link.directions
            ways = [
                Way(there, (link.a, link.a_port), link.a_device),
                Way(back, (link.b, link.b_port), link.b_device),
            ]
            self._add((link.name, link.a, link.b), ways)

    def _add(self, targets: Iterable[str], ways: list[Way]) -> None:
        for target in targets:
            self._ways.setdefault(target, []).extend(ways)

    def hurt(self, fault: Fault) -> list[Way]:
        """The directions that a fault befalls."""
        found = self._ways[fault.target]
        return {"both": found, "out": found[:1], "in": found[1:]}[fault.way]

    def down(self, fault: Fault) -> dict[tuple[str, int], str]:
        """Ports that a fault takes down, and their devices. What goes one way alone comes to
        nothing while the ports stay up, so that nobody is told."""
        if fault.way != "both":
            return {}
        return {way.port: way.device for way in self._ways[fault.target]}
