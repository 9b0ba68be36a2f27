"""Static routes of the fabric, as an InfiniBand subnet manager computes them.

Up-down routing: a switch that can reach the destination's leaf by going down only does so;
any other goes up. So no route turns up again after it went down, and none can loop. Among
several up-ports the choice is destination-mod-k: destinations are numbered in tree order (leaf
by leaf, port by port) and each level takes its own digit of that number, which spreads
neighbouring destinations over all cores and keeps each destination on one path.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from math import prod

import msgspec

from plan.fabric import Fabric, Link, Nic

Port = tuple[str, int]
"""A port of the fabric: switch name and OpenFlow port number."""

_RANK = {"edge": 0, "aggregation": 1, "core": 2}


class Route(msgspec.Struct, frozen=True):
    """Where one switch sends what is addressed to the ends of one NIC.

    Attributes:
        port: output port.
        reflect: the NIC is a CNIC on this very port, so its two ends' traffic with each other
            must leave by the port it came from (paper section 1, CNIC-centric rule).
    """

    switch: str
    nic: str
    port: int
    reflect: bool = False


class Routes(msgspec.Struct, frozen=True):
    """All routes of a fabric, and the (leaf switch, NIC) pairs for which none exists."""

    routes: tuple[Route, ...]
    unreachable: tuple[tuple[str, str], ...]


def routes(fabric: Fabric, down: frozenset[Port] = frozenset()) -> Routes:
    """Route every NIC of the fabric from every switch of its plane, by `UpDown`.

    Args:
        down: ports that carry nothing; a link is down when either of its ports is.

    Raises:
        ValueError: a link joins two switches of one level.
    """
    rule = UpDown(fabric, down)
    leaves = {nic.switch for nic in fabric.nics}
    found: list[Route] = []
    unreachable: list[tuple[str, str]] = []
    for nic in rule.destinations:
        for switch in fabric.switches:
            if switch.plane != nic.plane:
                continue
            port = rule.port(switch.name, nic)
            if port is not None:
                reflect = switch.name == nic.switch and len(nic.ends) > 1
                found.append(Route(switch.name, nic.name, port, reflect))
            elif switch.name in leaves:
                unreachable.append((switch.name, nic.name))
    return Routes(tuple(found), tuple(unreachable))


class UpDown:
    """The rule by which a switch chooses its output port toward a NIC.

    With ports down only the destinations whose chosen path broke move to another one. Costs
    are paid where they arise: the ways to a leaf are found when it is first asked for.

    Args:
        down: ports that carry nothing; a link is down when either of its ports is.

    Attributes:
        destinations: all NICs, plane by plane in the order in which they are numbered.

    Raises:
        ValueError: a link joins two switches of one level.
    """

    def __init__(self, fabric: Fabric, down: frozenset[Port] = frozenset()) -> None:
        self._down = down
        self._intact = _Tree(fabric, frozenset())
        self._live = _Tree(fabric, down) if down else self._intact
        self._stride = _strides(fabric)
        planes = _planes(fabric)
        self.destinations = [nic for nics in planes for nic in nics]
        self._number = {nic.name: number for nics in planes for number, nic in enumerate(nics)}

    def port(self, switch: str, nic: Nic) -> int | None:
        """Output port of a switch toward a NIC; None where no way is left."""
        leaf = nic.switch
        if self._down and (leaf, nic.port) in self._down:
            return None
        if switch == leaf:
            return nic.port
        usable = self._live[leaf].get(switch)
        if usable is None:
            return None
        digit = self._number[nic.name] // self._stride[switch]
        if self._live is not self._intact:
            planned = self._intact[leaf][switch]
            choice = planned[digit % len(planned)]
            if choice in usable:
                return choice
        return usable[digit % len(usable)]


def _planes(fabric: Fabric) -> list[list[Nic]]:
    """The NICs of each plane in tree order: leaf by leaf, port by port."""
    attached: defaultdict[str, list[Nic]] = defaultdict(list)
    for nic in fabric.nics:
        attached[nic.switch].append(nic)
    planes: defaultdict[str, list[Nic]] = defaultdict(list)
    for switch in fabric.switches:
        planes[switch.plane] += sorted(attached[switch.name], key=lambda nic: nic.port)
    return list(planes.values())


def _strides(fabric: Fabric) -> dict[str, int]:
    """Product of the up-port counts below each switch's level.

    A destination's number divided by it is the digit by which the switch chooses its up-port.
    """
    rank = ranks(fabric)
    plane = {switch.name: switch.plane for switch in fabric.switches}
    ups = Counter(upward(link, rank)[0] for link in fabric.links)
    widest: defaultdict[tuple[str, int], int] = defaultdict(lambda: 1)
    for name, count in ups.items():
        level = plane[name], rank[name]
        widest[level] = max(widest[level], count)
    return {name: prod(widest[plane[name], below] for below in range(rank[name])) for name in rank}


class _Tree(dict[str, dict[str, tuple[int, ...]]]):
    """Leaf -> equal-cost output ports toward it, of every other switch that can reach it.

    Those of a leaf are found when it is first looked up.
    """

    def __init__(self, fabric: Fabric, down: frozenset[Port]) -> None:
        super().__init__()
        rank = ranks(fabric)
        self._by_rank = sorted(rank, key=rank.__getitem__)
        self._up: dict[str, list[tuple[int, str]]] = {name: [] for name in rank}
        self._down: dict[str, list[tuple[int, str]]] = {name: [] for name in rank}
        for link in fabric.links:
            low, low_port, high, high_port = upward(link, rank)
            if down.isdisjoint({(low, low_port), (high, high_port)}):
                self._up[low].append((low_port, high))
                self._down[high].append((high_port, low))
        for ways in (*self._up.values(), *self._down.values()):
            ways.sort()

    def __missing__(self, leaf: str) -> dict[str, tuple[int, ...]]:
        hops = {leaf: 0}
        found: dict[str, tuple[int, ...]] = {}
        for ways, order in ((self._down, self._by_rank), (self._up, self._by_rank[::-1])):
            for switch in order:
                near = [way for way in ways[switch] if way[1] in hops]
                if switch in hops or not near:
                    continue
                least = min(hops[there] for _, there in near)
                hops[switch] = least + 1
                found[switch] = tuple(port for port, there in near if hops[there] == least)
        self[leaf] = found
        return found


def ranks(fabric: Fabric) -> dict[str, int]:
    """The level of every switch as a number, 0 at the edge."""
    return {switch.name: _RANK[switch.level] for switch in fabric.switches}


def upward(link: Link, rank: dict[str, int]) -> tuple[str, int, str, int]:
    """Lower switch and its port, upper switch and its port.

    Raises:
        ValueError: the link joins two switches of one level.
    """
    if rank[link.a] == rank[link.b]:
        raise ValueError(
            f"link {link.name} joins two switches of one level; up-down routing needs a tree,"
            " so join edge to aggregation and aggregation to core"
        )
    if rank[link.a] < rank[link.b]:
        return link.a, link.a_port, link.b, link.b_port
    return link.b, link.b_port, link.a, link.a_port
