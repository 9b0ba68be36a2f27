"""Which directed links a transfer crosses in the modelled network.

Directed links are numbered: NIC i of the fabric sends over `2i` and receives over `2i + 1`;
link j of the fabric, after all NICs, carries a -> b over the even and b -> a over the odd one.
Routes are those of the emulated fabric: up only as far as needed, then down, and among
equal ports by destination-mod-k (destinations numbered in tree order, each level taking its
own digit). Two ends of one NIC meet at its leaf switch: that NIC out and in, nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from math import prod

from plan.fabric import Fabric, Nic

_LEVELS = ("edge", "aggregation", "core")

_Hop = tuple[int, str]
"""A directed link and the switch that it leads to."""


def link_rates_bps(fabric: Fabric) -> list[float]:
    """Rate of every directed link by its number, model bit/s."""
    rates = [nic.rate_bps for nic in fabric.nics] + [link.rate_bps for link in fabric.links]
    return [rate_bps for rate_bps in rates for _ in range(2)]


class StaticRoutes:
    """Destination-mod-k up-down routes of a fabric: call it with two ends' names."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._nic_number = {
            end.name: number for number, nic in enumerate(fabric.nics) for end in nic.ends
        }
        self._rank = {switch.name: _LEVELS.index(switch.level) for switch in fabric.switches}
        self._up: dict[str, list[tuple[int, int, str]]] = {name: [] for name in self._rank}
        self._down: dict[str, list[tuple[int, int, str]]] = {name: [] for name in self._rank}
        for j, link in enumerate(fabric.links, len(fabric.nics)):
            for number, here, port, there in (
                (2 * j, link.a, link.a_port, link.b),
                (2 * j + 1, link.b, link.b_port, link.a),
            ):
                side = self._up if self._rank[here] < self._rank[there] else self._down
                side[here].append((port, number, there))
        for ways in (*self._up.values(), *self._down.values()):
            ways.sort()
        self._stride = self._strides()
        self._destination = self._destinations()
        self._toward: dict[str, dict[str, list[_Hop]]] = {}

    def __call__(self, source: str, target: str) -> tuple[int, ...]:
        """Numbers of the directed links from one end to another, in order.

        Raises:
            ValueError: an end is not part of the fabric, or no route joins the two.
        """
        for end in (source, target):
            if end not in self._nic_number:
                raise ValueError(f"end {end!r} is not in the fabric; see plan.fabric for names")
        out, into = self._nic_number[source], self._nic_number[target]
        nics = self._fabric.nics
        if out == into:
            return 2 * out, 2 * into + 1
        between = self._between(nics[out].switch, into)
        if between is None:
            raise ValueError(
                f"no route from {source} ({nics[out].plane}) to {target} ({nics[into].plane});"
                " transfers must stay on one plane"
            )
        return 2 * out, *between, 2 * into + 1

    def never_full(self) -> frozenset[int]:
        """Switch-to-switch links that can never hold anybody up.

        Such a link is at least as fast as all NICs together that it can carry traffic to,
        or as all that it can carry traffic from: they are full before it is.
        """
        nics, rates = self._fabric.nics, link_rates_bps(self._fabric)
        sources: defaultdict[str, float] = defaultdict(float)
        for nic in nics:
            sources[nic.switch] += nic.rate_bps
        into: defaultdict[int, float] = defaultdict(float)
        for number, nic in enumerate(nics):
            for link in self._links_used(number, list(sources)):
                into[link] += nic.rate_bps
        below = dict(sources)
        for name in sorted(self._rank, key=self._rank.__getitem__):
            below.setdefault(name, 0.0)
            for _, _, lower in self._down[name]:
                below[name] += below[lower]
        out = {link: below[name] for name, ways in self._up.items() for _, link, _ in ways}
        first = 2 * len(nics)
        return frozenset(
            link
            for link in range(first, len(rates))
            if rates[link] >= min(into[link], out.get(link, float("inf")))
        )

    def _between(self, leaf: str, into: int) -> list[int] | None:
        target = self._fabric.nics[into].switch
        hops = self._hops_toward(target)
        links: list[int] = []
        while leaf != target:
            if leaf not in hops:
                return None
            link, leaf = self._choose(hops[leaf], leaf, into)
            links.append(link)
        return links

    def _links_used(self, into: int, leaves: list[str]) -> set[int]:
        """Switch-to-switch links on the ways from all leaves to one NIC."""
        target = self._fabric.nics[into].switch
        hops = self._hops_toward(target)
        used: set[int] = set()
        for leaf in leaves:
            at = leaf
            while at != target and at in hops:
                link, at = self._choose(hops[at], at, into)
                if link in used:
                    break
                used.add(link)
        return used

    def _choose(self, hops: list[_Hop], switch: str, into: int) -> _Hop:
        return hops[self._destination[into] // self._stride[switch] % len(hops)]

    def _hops_toward(self, leaf: str) -> dict[str, list[_Hop]]:
        """Equal-cost next hops toward a leaf switch, of every switch that can reach it."""
        if leaf in self._toward:
            return self._toward[leaf]
        distance = {leaf: 0}
        hops: dict[str, list[_Hop]] = {}
        by_rank = sorted(self._rank, key=self._rank.__getitem__)
        for ways, order in ((self._down, by_rank), (self._up, by_rank[::-1])):
            for switch in order:
                near = [way for way in ways[switch] if way[2] in distance]
                if switch in distance or not near:
                    continue
                least = min(distance[there] for _, _, there in near)
                distance[switch] = least + 1
                hops[switch] = [(n, there) for _, n, there in near if distance[there] == least]
        self._toward[leaf] = hops
        return hops

    def _destinations(self) -> dict[int, int]:
        """NIC number -> its number within its plane, leaf by leaf and port by port."""
        attached: defaultdict[str, list[tuple[int, int, Nic]]] = defaultdict(list)
        for number, nic in enumerate(self._fabric.nics):
            attached[nic.switch].append((nic.port, number, nic))
        counts: defaultdict[str, int] = defaultdict(int)
        order: dict[int, int] = {}
        for switch in self._fabric.switches:
            for _, number, _ in sorted(attached[switch.name], key=lambda item: item[0]):
                order[number] = counts[switch.plane]
                counts[switch.plane] += 1
        return order

    def _strides(self) -> dict[str, int]:
        """By what a switch divides a destination's number to get its own digit."""
        plane = {switch.name: switch.plane for switch in self._fabric.switches}
        widest: defaultdict[tuple[str, int], int] = defaultdict(lambda: 1)
        for name, ways in self._up.items():
            level = plane[name], self._rank[name]
            widest[level] = max(widest[level], len(ways))
        return {
            name: prod(widest[plane[name], below] for below in range(rank))
            for name, rank in self._rank.items()
        }
