"""Which directed links a transfer crosses in the modelled network.

Directed links are numbered: NIC i of the fabric sends over `2i` and receives over `2i + 1`;
link j of the fabric, after all NICs, carries a -> b over the even and b -> a over the odd one.
Routes are those that the controller programs. Two ends of one NIC meet at its leaf switch:
that NIC out and in, nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from plan.fabric import Fabric, Nic, Plane
from plan.names import into, out_of
from plan.routing import Port, UpDown, ranks, upward

INTACT: frozenset[Port] = frozenset()


def link_rates_bps(fabric: Fabric) -> list[float]:
    """Rate of every directed link by its number, model bit/s."""
    rates = [nic.rate_bps for nic in fabric.nics] + [link.rate_bps for link in fabric.links]
    return [rate_bps for rate_bps in rates for _ in range(2)]


def directed_links(fabric: Fabric) -> dict[str, int]:
    """Numbers of the directed links, by the names of the egresses that send over them."""
    names = [name for nic in fabric.nics for name in (out_of(nic.name), into(nic.name))]
    names += [name for link in fabric.links for name in link.directions]
    return {name: number for number, name in enumerate(names)}


class StaticRoutes:
    """The routes of a fabric: call it with two ends' names.

    Args:
        down: ports that carry nothing.
    """

    def __init__(self, fabric: Fabric, down: frozenset[Port] = INTACT) -> None:
        self._fabric = fabric
        self._down = down
        self._nic_number = {
            end.name: number for number, nic in enumerate(fabric.nics) for end in nic.ends
        }
        self._rule = UpDown(fabric, down)
        self._behind: dict[Port, tuple[int, str | None]] = {}
        """The directed link that starts at a switch port, and the switch that it leads to."""
        for i, nic in enumerate(fabric.nics):
            self._behind[nic.switch, nic.port] = (2 * i + 1, None)
        for j, link in enumerate(fabric.links, len(fabric.nics)):
            self._behind[link.a, link.a_port] = (2 * j, link.b)
            self._behind[link.b, link.b_port] = (2 * j + 1, link.a)

    def __call__(self, source: str, target: str) -> tuple[int, ...]:
        """Numbers of the directed links from one end to another, in order.

        Raises:
            ValueError: an end is not part of the fabric, or no route joins the two.
        """
        for end in (source, target):
            if end not in self._nic_number:
                raise ValueError(f"end {end!r} is not in the fabric; see plan.fabric for names")
        number = self._nic_number[source]
        out, into = self._fabric.nics[number], self._fabric.nics[self._nic_number[target]]
        onward = tuple(self._walk(out.switch, into))
        if not onward or (out.switch, out.port) in self._down:
            raise ValueError(
                f"no route from {source} ({out.plane}) to {target} ({into.plane});"
                " transfers must stay on one plane"
            )
        return 2 * number, *onward

    def never_full(self) -> frozenset[int]:
        """Switch-to-switch links that can never hold anybody up.

        Such a link is at least as fast as all NICs together that it can carry traffic to,
        or as all that it can carry traffic from: they are full before it is.
        """
        nics, rates = self._fabric.nics, link_rates_bps(self._fabric)
        below: defaultdict[str, float] = defaultdict(float)
        leaves: defaultdict[Plane, dict[str, None]] = defaultdict(dict)
        for nic in nics:
            below[nic.switch] += nic.rate_bps
            leaves[nic.plane][nic.switch] = None
        into: defaultdict[int, float] = defaultdict(float)
        for nic in nics:
            for link in self._links_used(nic, leaves[nic.plane]):
                into[link] += nic.rate_bps
        out: dict[int, float] = {}
        rank = ranks(self._fabric)
        ups = [upward(link, rank) for link in self._fabric.links]
        for low, low_port, high, _ in sorted(ups, key=lambda up: rank[up[0]]):
            below[high] += below[low]
            out[self._behind[low, low_port][0]] = below[low]
        return frozenset(
            link
            for link in range(2 * len(nics), len(rates))
            if rates[link] >= min(into[link], out.get(link, float("inf")))
        )

    def _hop(self, switch: str, nic: Nic) -> tuple[int, str | None] | None:
        """The directed link that a switch sends over what goes to a NIC, and where it leads."""
        port = self._rule.port(switch, nic)
        return None if port is None else self._behind[switch, port]

    def _walk(self, switch: str, nic: Nic) -> Iterator[int]:
        """The directed links from a switch to a NIC; none where no route leads there."""
        at: str | None = switch
        while at is not None and (hop := self._hop(at, nic)) is not None:
            link, at = hop
            yield link

    def _links_used(self, nic: Nic, leaves: Iterable[str]) -> Iterator[int]:
        """Directed links on the ways from all leaves to one NIC, each once."""
        ahead = list(leaves)
        passed = set(ahead)
        while ahead:
            if (hop := self._hop(ahead.pop(), nic)) is not None:
                link, there = hop
                yield link
                if there is not None and there not in passed:
                    passed.add(there)
                    ahead.append(there)
