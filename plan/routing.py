"""Static routes of the fabric, as an InfiniBand subnet manager computes them.

Up-down routing: a switch that can reach the destination's leaf by going down only does so;
any other goes up. So no route turns up again after it went down, and none can loop. Among
several up-ports the choice is destination-mod-k: destinations are numbered in tree order (leaf
by leaf, port by port) and each level takes its own digit of that number, which spreads
neighbouring destinations over all cores and keeps each destination on one path.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import prod

import msgspec

from plan.fabric import Fabric, Link, Nic

Port = tuple[str, int]
"""A port of the fabric: switch name and OpenFlow port number."""

RANK = {"edge": 0, "aggregation": 1, "core": 2}


class Route(msgspec.Struct, frozen=True):
    """Where one switch sends what is addressed to the ends of one NIC.

    Attributes:
        ports: output port; several are equal-cost ones to hash flows over (ECMP).
        reflect: the NIC is a CNIC on this very port, so its two ends' traffic with each other
            must leave by the port it came from (paper section 1, CNIC-centric rule).
    """

    switch: str
    nic: str
    ports: tuple[int, ...]
    reflect: bool = False


class Routes(msgspec.Struct, frozen=True):
    """All routes of a fabric, and the (leaf switch, NIC) pairs for which none exists."""

    routes: tuple[Route, ...]
    unreachable: tuple[tuple[str, str], ...]


def routes(fabric: Fabric, down: frozenset[Port] = frozenset(), *, ecmp: bool = False) -> Routes:
    """Route every NIC of the fabric from every switch of its plane.

    Args:
        down: ports that carry nothing; a link is down when either of its ports is.
        ecmp: keep all shortest ports instead of choosing one by destination-mod-k.

    With ports down only the destinations whose chosen path broke move to another one.

    Raises:
        ValueError: a link joins two switches of one level.
    """
    intact = _Tree(fabric, frozenset())
    live = _Tree(fabric, down) if down else intact
    stride = _strides(fabric)
    found: list[Route] = []
    unreachable: list[tuple[str, str]] = []
    for numbered in _destinations(fabric):
        for leaf, nics in numbered.items():
            planned, usable = intact.toward(leaf), live.toward(leaf)
            for number, nic in nics:
                if (leaf, nic.port) in down:
                    unreachable += [(source, nic.name) for source in numbered]
                    continue
                found.append(Route(leaf, nic.name, (nic.port,), reflect=len(nic.ends) > 1))
                for switch, ports in usable.items():
                    if not ecmp:
                        digit = number // stride[switch]
                        ports = (_mod_k(planned[switch], ports, digit),)
                    found.append(Route(switch, nic.name, ports))
                unreachable += [
                    (source, nic.name)
                    for source in numbered
                    if source != leaf and source not in usable
                ]
    return Routes(tuple(found), tuple(unreachable))


def _mod_k(planned: tuple[int, ...], usable: tuple[int, ...], digit: int) -> int:
    """The intact fabric's choice while it is usable, else the same rule on what is left."""
    choice = planned[digit % len(planned)]
    return choice if choice in usable else usable[digit % len(usable)]


def _destinations(fabric: Fabric) -> list[dict[str, list[tuple[int, Nic]]]]:
    """For each plane: leaf switch -> its NICs, numbered through the plane in tree order."""
    attached: defaultdict[str, list[Nic]] = defaultdict(list)
    for nic in fabric.nics:
        attached[nic.switch].append(nic)
    planes: defaultdict[str, dict[str, list[tuple[int, Nic]]]] = defaultdict(dict)
    counts: defaultdict[str, int] = defaultdict(int)
    for switch in fabric.switches:
        nics = sorted(attached[switch.name], key=lambda nic: nic.port)
        if nics:
            first = counts[switch.plane]
            planes[switch.plane][switch.name] = list(enumerate(nics, first))
            counts[switch.plane] += len(nics)
    return list(planes.values())


def _strides(fabric: Fabric) -> dict[str, int]:
    """Product of the up-port counts below each switch's level.

    A destination's number divided by it is the digit by which the switch chooses its up-port.
    """
    rank = _ranks(fabric)
    plane = {switch.name: switch.plane for switch in fabric.switches}
    ups = Counter(_upward(link, rank)[0] for link in fabric.links)
    widest: defaultdict[tuple[str, int], int] = defaultdict(lambda: 1)
    for name, count in ups.items():
        level = plane[name], rank[name]
        widest[level] = max(widest[level], count)
    return {name: prod(widest[plane[name], below] for below in range(rank[name])) for name in rank}


class _Tree:
    """The links that are up, seen from each switch as ways up."""

    def __init__(self, fabric: Fabric, down: frozenset[Port]) -> None:
        rank = _ranks(fabric)
        self._by_rank = sorted(rank, key=rank.__getitem__)
        self._up: dict[str, list[tuple[int, str, int]]] = {name: [] for name in rank}
        for link in fabric.links:
            low, low_port, high, high_port = _upward(link, rank)
            if down.isdisjoint({(low, low_port), (high, high_port)}):
                self._up[low].append((low_port, high, high_port))

    def toward(self, leaf: str) -> dict[str, tuple[int, ...]]:
        """Equal-cost output ports toward `leaf`, of every other switch that can reach it."""
        choices: dict[str, _Choice] = {}
        hops = {leaf: 0}
        for switch in self._by_rank:
            for _, high, high_port in self._up[switch] if switch in hops else ():
                choices.setdefault(high, _Choice()).offer(high_port, hops[switch] + 1)
                hops[high] = choices[high].hops
        for switch in reversed(self._by_rank):
            ways = [way for way in self._up[switch] if way[1] in hops]
            if switch in hops or not ways:
                continue
            choices[switch] = _Choice()
            for low_port, high, _ in ways:
                choices[switch].offer(low_port, hops[high] + 1)
            hops[switch] = choices[switch].hops
        return {switch: tuple(sorted(choice.ports)) for switch, choice in choices.items()}


@dataclass
class _Choice:
    """The ports of one switch with the fewest hops among those offered."""

    hops: int = sys.maxsize
    ports: list[int] = field(default_factory=list)

    def offer(self, port: int, hops: int) -> None:
        if hops < self.hops:
            self.hops, self.ports = hops, []
        if hops == self.hops:
            self.ports.append(port)


def _ranks(fabric: Fabric) -> dict[str, int]:
    return {switch.name: RANK[switch.level] for switch in fabric.switches}


def _upward(link: Link, rank: dict[str, int]) -> tuple[str, int, str, int]:
    """Lower switch and its port, upper switch and its port."""
    if rank[link.a] == rank[link.b]:
        raise ValueError(
            f"link {link.name} joins two switches of one level; up-down routing needs a tree,"
            " so join edge to aggregation and aggregation to core"
        )
    if rank[link.a] < rank[link.b]:
        return link.a, link.a_port, link.b, link.b_port
    return link.b, link.b_port, link.a, link.a_port
