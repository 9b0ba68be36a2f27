"""Claims: transfers stand still, go around, slow down and fail as their links do, and every byte
that a NIC sent is one that arrived or was given up."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.lanes import lane_table
from nodes.worlds.virtual.breakable_network import BreakableNetwork
from nodes.worlds.virtual.flow_routes import StaticRoutes, directed_links
from nodes.worlds.virtual.loop import VirtualTimeLoop, run, running
from plan.fabric import Fabric
from plan.fault_schedule import Places
from plan.faults import Fault, Way
from plan.routing import Port
from tests.examples import tries
from tests.nodes.worlds.virtual.test_flow_network import GB, fabric
from topology.fattree import FabricSpec, build_fabric

PATIENCE_S = 3.0
WIDE = build_fabric(
    FabricSpec(
        prefill=3,
        decode=3,
        storage=1,
        gpus_per_node=1,
        snic_bps=400e9,
        cnic_bps=400e9,
        storage_bps=400e9,
        management_bps=100e9,
        k=4,
    )
)
"""Its leaves have two ways up."""


class Targets:
    """What is behind the name of a link, NIC or switch."""

    def __init__(self, world: Fabric) -> None:
        self._places = Places(world)
        self._numbers = directed_links(world)

    def links(self, name: str, way: Way = "both") -> list[int]:
        hurt = self._places.hurt(Fault(kind="down", target=name, way=way))
        return [self._numbers[one.egress] for one in hurt]

    def ports(self, name: str) -> set[Port]:
        return set(self._places.down(Fault(kind="down", target=name)))


Do = Callable[[BreakableNetwork, Targets], None]
Send = tuple[float, str, str, float]


def outcomes(
    world: Fabric, sends: list[Send], changes: Sequence[tuple[float, Do]], until_s: float = 100.0
) -> tuple[list[tuple[str, float, float]], BreakableNetwork]:
    """(how, when, bytes sent) of every transfer."""
    found: dict[int, tuple[str, float, float]] = {}

    async def main() -> BreakableNetwork:
        loop = running()
        network = BreakableNetwork(loop.agenda, world, lane_table(), PATIENCE_S)
        places = Targets(world)
        for number, (at_s, source, target, size) in enumerate(sends):
            loop.call_at(at_s, _send, loop, network, number, (source, target), size, found)
        for at_s, do in changes:
            loop.call_at(at_s, do, network, places)
        await loop.sleep_until(until_s)
        network.counters(loop.time())
        return network

    network = run(main())
    return [found[number] for number in range(len(sends))], network


def _send(
    loop: VirtualTimeLoop,
    network: BreakableNetwork,
    number: int,
    ends: tuple[str, str],
    size: float,
    found: dict[int, tuple[str, float, float]],
) -> None:
    def arrived() -> None:
        found[number] = "arrived", loop.time(), size

    def failed(sent: float, stalled: bool) -> None:
        found[number] = "failed", loop.time(), sent

    network.send(ends, "kv", size, arrived, failed)


def cut(name: str, way: Way = "both") -> Do:
    return lambda network, places: network.cut(places.links(name, way))


def mend(name: str, way: Way = "both") -> Do:
    return lambda network, places: network.mend(places.links(name, way))


def around(*names: str) -> Do:
    def do(network: BreakableNetwork, places: Targets) -> None:
        network.reroute(frozenset(port for name in names for port in places.ports(name)))

    return do


READ: Send = (0.0, "st0.snic", "pe0.snic", 100 * GB)
"""Two seconds."""


def test_a_transfer_goes_on_where_it_stood_when_its_nic_is_there_again() -> None:
    changes = [(1.0, cut("pe0.snic")), (2.5, mend("pe0.snic"))]
    [(how, at_s, _)], _ = outcomes(fabric(), [READ], changes)
    assert how == "arrived"
    assert at_s == pytest.approx(3.5)


def test_a_transfer_that_stands_still_for_too_long_fails_with_what_it_has_sent() -> None:
    [(how, at_s, sent)], network = outcomes(fabric(), [READ], [(1.0, cut("pe0.snic"))])
    assert how == "failed"
    assert (at_s, sent) == pytest.approx((4.0, 50 * GB))
    assert network.idle


def test_a_slow_nic_carries_its_share_and_two_such_faults_multiply() -> None:
    def slow(network: BreakableNetwork, places: Targets) -> None:
        network.slow(places.links("pe0.snic"), 0.5)

    def quicken(network: BreakableNetwork, places: Targets) -> None:
        network.quicken(places.links("pe0.snic"), 0.5)

    [(how, at_s, _)], _ = outcomes(fabric(), [READ], [(1.0, slow)])
    assert how == "arrived"
    assert at_s == pytest.approx(3.0)
    changes = [(1.0, slow), (1.0, slow), (2.0, quicken)]  # 50 GB, 12.5 GB, then half of the rate
    [(how, at_s, _)], _ = outcomes(fabric(), [READ], changes)
    assert how == "arrived"
    assert at_s == pytest.approx(3.5)


def test_a_link_with_another_way_holds_up_until_the_routes_go_around_it() -> None:
    source, target = "pe0.hbm0", "de2.hbm0"
    nics = len(WIDE.nics)
    middle = next(link for link in StaticRoutes(WIDE)(source, target) if link >= 2 * nics)
    name = WIDE.links[middle // 2 - nics].name
    send = [(0.0, source, target, 100 * GB)]
    changes = [(1.0, cut(name)), (1.25, around(name))]
    [(how, at_s, _)], network = outcomes(WIDE, send, changes)
    assert how == "arrived"
    assert at_s == pytest.approx(2.25)
    detour = network.way(source, target, "kv")
    assert detour is not None
    assert middle not in detour.links


@pytest.mark.parametrize("way", ["out", "in"])
def test_what_is_not_acknowledged_does_not_go_on_either(way: Way) -> None:
    changes = [(1.0, cut("pe0.snic", way)), (2.5, mend("pe0.snic", way))]
    [(how, at_s, _)], _ = outcomes(fabric(), [READ], changes)
    assert how == "arrived"
    assert at_s == pytest.approx(3.5)


def test_who_shares_a_link_with_one_that_is_cut_gets_its_part() -> None:
    sends = [READ, (0.0, "st1.snic", "pe0.snic", 100 * GB)]
    [one, other], _ = outcomes(fabric(), sends, [(2.0, cut("st0.snic"))])
    assert one[0] == "failed"
    assert other[0] == "arrived"
    assert other[1] == pytest.approx(3.0)


@given(st.integers(0, 2**32))
@tries(60)
def test_whatever_breaks_whenever_every_byte_sent_arrived_or_was_given_up(seed: int) -> None:
    rng = random.Random(seed)
    ends = [f"{node}.{end}" for node in ("pe0", "pe1", "de0", "de1") for end in ("hbm0", "dram0")]
    sends: list[Send] = []
    for _ in range(rng.randrange(1, 12)):
        source, target = rng.sample(ends, 2)
        sends.append((rng.uniform(0, 5), source, target, rng.uniform(1, 100) * GB))
    names = ["pe0.cnic0", "de0.cnic0", "pe1.cnic0", *(link.name for link in WIDE.links[:4])]
    changes: list[tuple[float, Do]] = []
    for _ in range(rng.randrange(1, 6)):
        name, at_s = rng.choice(names), rng.uniform(0, 6)
        end_s = at_s + rng.expovariate(0.5)
        changes += [(at_s, cut(name)), (at_s + 0.05, around(name))]
        changes += [(end_s, mend(name)), (end_s + 0.05, around())]
    ended, network = outcomes(WIDE, sends, changes, until_s=1000.0)
    assert len(ended) == len(sends)
    assert network.idle
    sent = dict.fromkeys((nic.name for nic in WIDE.nics), 0.0)
    nic_of = WIDE.nic_of_end()
    for (_, source, _, size), (how, _, moved) in zip(sends, ended, strict=True):
        assert moved == size if how == "arrived" else 0.0 <= moved < size
        sent[nic_of[source].name] += moved
    counted = network.counters(1000.0).nics
    for name, amount in sent.items():
        assert counted[name][0] == pytest.approx(amount, abs=1.0)
