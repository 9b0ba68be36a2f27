"""Claims about routes: reach, shape, balance and repair."""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.fabric import Fabric, Nic
from plan.routing import Port, Routes, ranks, routes
from tests.controller.fabrics import make_fabric
from tests.examples import tries

FABRICS = {
    "k4, two pods": make_fabric(),
    "k4, full": make_fabric(prefill=4, decode=4),
    "k8": make_fabric(prefill=4, decode=4, gpus_per_node=8, k=8),
    "one switch": make_fabric(prefill=1, decode=1, gpus_per_node=1, k=None),
    "converged": make_fabric(converged=True, k=6),
}

fabrics = pytest.mark.parametrize("fabric", FABRICS.values(), ids=FABRICS)


class Walk:
    """Follows frames through a fabric by its routes."""

    def __init__(self, fabric: Fabric, found: Routes) -> None:
        self.level = ranks(fabric)
        self.ports = {(route.switch, route.nic): route.port for route in found.routes}
        self.peer: dict[Port, Port] = {}
        for link in fabric.links:
            self.peer[link.a, link.a_port] = (link.b, link.b_port)
            self.peer[link.b, link.b_port] = (link.a, link.a_port)

    def path(self, source: Nic, destination: Nic) -> list[Port]:
        """Output ports from the source's leaf to the destination."""
        switch = source.switch
        path: list[Port] = []
        while len(path) <= len(self.level):
            path.append((switch, self.ports[switch, destination.name]))
            if path[-1] == (destination.switch, destination.port):
                return path
            switch = self.peer[path[-1]][0]
        raise AssertionError(f"loop from {source.name} to {destination.name}: {path}")


def pairs(fabric: Fabric) -> list[tuple[Nic, Nic]]:
    return [(a, b) for a in fabric.nics for b in fabric.nics if a.plane == b.plane and a is not b]


def pod_of(fabric: Fabric) -> dict[str, int]:
    return {switch.name: switch.pod for switch in fabric.switches}


@fabrics
def test_every_pair_of_a_plane_reaches_by_a_shortest_path(fabric: Fabric) -> None:
    found = routes(fabric)
    walk, pod = Walk(fabric, found), pod_of(fabric)
    assert found.unreachable == ()
    for a, b in pairs(fabric):
        hops = 1 if a.switch == b.switch else 3 if pod[a.switch] == pod[b.switch] else 5
        assert len(walk.path(a, b)) == hops


@fabrics
def test_planes_are_separate(fabric: Fabric) -> None:
    plane = {switch.name: switch.plane for switch in fabric.switches}
    nics = {nic.name: nic for nic in fabric.nics}
    assert all(plane[r.switch] == plane[nics[r.nic].switch] for r in routes(fabric).routes)


@fabrics
def test_only_a_cnics_own_leaf_reflects(fabric: Fabric) -> None:
    found = routes(fabric)
    assert {(r.switch, r.nic, r.port) for r in found.routes if r.reflect} == {
        (nic.switch, nic.name, nic.port) for nic in fabric.nics if nic.kind == "cnic"
    }


@fabrics
@given(data=st.data())
@tries(30)
def test_with_any_ports_down_no_route_uses_them_loops_or_turns_up_again(
    fabric: Fabric, data: st.DataObject
) -> None:
    ends = [(link.a, link.a_port) for link in fabric.links]
    ends += [(link.b, link.b_port) for link in fabric.links]
    ends += [(nic.switch, nic.port) for nic in fabric.nics]
    down = data.draw(st.frozensets(st.sampled_from(ends), max_size=6))
    found = routes(fabric, down)
    walk, unreachable = Walk(fabric, found), set(found.unreachable)
    for a, b in pairs(fabric):
        if (a.switch, b.name) in unreachable:
            assert (a.switch, b.name) not in walk.ports
            continue
        path = walk.path(a, b)
        assert down.isdisjoint(path)
        assert down.isdisjoint(walk.peer[port] for port in path if port in walk.peer)
        levels = [walk.level[switch] for switch, _ in path]
        top = levels.index(max(levels))
        assert levels == sorted(levels[:top]) + sorted(levels[top:], reverse=True)


def test_any_single_link_of_a_k4_tree_may_fail_and_all_still_reach() -> None:
    fabric = FABRICS["k4, full"]
    for link in fabric.links:
        assert routes(fabric, frozenset({(link.a, link.a_port)})).unreachable == ()


def test_a_failed_link_moves_only_what_crossed_it() -> None:
    fabric = FABRICS["k8"]
    before = routes(fabric)
    walk = Walk(fabric, before)
    for link in fabric.links[::7]:
        ends = {(link.a, link.a_port), (link.b, link.b_port)}
        after = Walk(fabric, routes(fabric, frozenset({(link.b, link.b_port)})))
        for a, b in pairs(fabric):
            old = walk.path(a, b)
            assert (after.path(a, b) != old) == (not ends.isdisjoint(old))


def test_a_nic_whose_port_is_down_is_reported_for_every_leaf_of_its_plane() -> None:
    fabric = FABRICS["k4, two pods"]
    nic = next(nic for nic in fabric.nics if nic.kind == "cnic")
    found = routes(fabric, frozenset({(nic.switch, nic.port)}))
    leaves = {other.switch for other in fabric.nics if other.plane == nic.plane}
    assert set(found.unreachable) == {(leaf, nic.name) for leaf in leaves}
    assert nic.name not in {route.nic for route in found.routes}


def test_a_leaf_cut_off_is_reported_in_both_directions_but_serves_itself() -> None:
    fabric = FABRICS["k4, two pods"]
    down = frozenset((link.a, link.a_port) for link in fabric.links if link.a == "ce0")
    found = routes(fabric, down)
    local = {nic.name for nic in fabric.nics if nic.switch == "ce0"}
    assert {nic for leaf, nic in found.unreachable if leaf == "ce0"}.isdisjoint(local)
    assert {nic for leaf, nic in found.unreachable if leaf != "ce0"} == local
    assert {leaf for leaf, _ in found.unreachable if leaf != "ce0"} == {"ce1", "ce2", "ce3"}


def test_destination_mod_k_spreads_a_permutation_over_all_links() -> None:
    """Every NIC of one pod to its counterpart in another: no link carries two of them."""
    fabric = FABRICS["k4, full"]
    walk = Walk(fabric, routes(fabric))
    pods: defaultdict[int, list[Nic]] = defaultdict(list)
    for nic in fabric.nics:
        if nic.plane == "compute":
            pods[pod_of(fabric)[nic.switch]].append(nic)
    load: Counter[Port] = Counter()
    for a, b in zip(pods[0], pods[1], strict=True):
        load.update(walk.path(a, b))
    assert set(load.values()) == {1}


def test_a_link_between_equals_is_rejected() -> None:
    fabric = FABRICS["k4, two pods"]
    sideways = msgspec.structs.replace(fabric.links[0], b="ce1", b_port=9)
    with pytest.raises(ValueError, match="ce0-ce1 joins two switches of one level"):
        routes(msgspec.structs.replace(fabric, links=(*fabric.links, sideways)))
