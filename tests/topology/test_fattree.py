"""Claims about fat-trees."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.fabric import Fabric, Plane
from topology.fattree import FabricSpec, build_fabric, usual_arity


def spec(**changes: Any) -> FabricSpec:
    fields: dict[str, Any] = {
        "prefill": 2,
        "decode": 4,
        "storage": 1,
        "gpus_per_node": 2,
        "snic_bps": 50e9,
        "cnic_bps": 400e9,
        "storage_bps": 200e9,
        "management_bps": 10e9,
    }
    return FabricSpec(**(fields | changes))


specs = st.builds(
    spec,
    prefill=st.integers(1, 6),
    decode=st.integers(1, 6),
    storage=st.integers(1, 4),
    gpus_per_node=st.integers(1, 8),
    oversubscription=st.sampled_from([1.0, 2.0, 3.5]),
    converged=st.booleans(),
    k=st.sampled_from([None, 8, 12]),
)


def neighbours(fabric: Fabric) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {switch.name: set() for switch in fabric.switches}
    for link in fabric.links:
        found[link.a].add(link.b)
        found[link.b].add(link.a)
    return found


def reachable(fabric: Fabric, start: str) -> set[str]:
    near = neighbours(fabric)
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        switch = waiting.pop()
        if switch not in seen:
            seen.add(switch)
            waiting += near[switch]
    return seen


def ports(fabric: Fabric) -> list[tuple[str, int]]:
    used = [(nic.switch, nic.port) for nic in fabric.nics]
    for link in fabric.links:
        used += [(link.a, link.a_port), (link.b, link.b_port)]
    return used


@given(specs)
def test_every_plane_is_connected_and_no_two_planes_are(asked: FabricSpec) -> None:
    fabric = build_fabric(asked)
    planes: dict[Plane, set[str]] = defaultdict(set)
    for switch in fabric.switches:
        planes[switch.plane].add(switch.name)
    assert ("storage" in planes) != asked.converged
    for names in planes.values():
        assert reachable(fabric, min(names)) == names


@given(specs)
def test_a_port_is_used_once_and_is_within_the_arity(asked: FabricSpec) -> None:
    fabric = build_fabric(asked)
    used = ports(fabric)
    assert len(used) == len(set(used))
    counts = Counter(switch for switch, _ in used if not switch.startswith("m"))
    largest = asked.k or usual_arity(len(fabric.nics))
    assert max(counts.values()) <= largest
    assert all(1 <= port <= largest for switch, port in used if not switch.startswith("m"))


@given(specs)
def test_names_are_unique_and_fit_the_kernel(asked: FabricSpec) -> None:
    fabric = build_fabric(asked)
    devices = [nic.switch_device for nic in fabric.nics]
    devices += [device for link in fabric.links for device in (link.a_device, link.b_device)]
    devices += [nic.host_device for nic in fabric.nics if nic.kind == "cnic"]
    devices += [end.device for end in fabric.ends().values()]
    devices += [switch.name for switch in fabric.switches]
    assert len(devices) == len(set(devices))
    assert max(map(len, devices)) <= 15


@given(specs)
def test_addresses_are_unique_and_tell_the_kind_of_nic(asked: FabricSpec) -> None:
    fabric = build_fabric(asked)
    ends = fabric.ends().values()
    assert len({end.ip for end in ends}) == len({end.mac for end in ends}) == len(ends)
    subnet = {"cnic": "10.1.", "snic": "10.2.", "mgmt": "10.3."}
    for nic in fabric.nics:
        for end in nic.ends:
            assert end.ip.startswith(subnet[nic.kind])
            assert end.mac == "02:00:" + ":".join(f"{int(byte):02x}" for byte in end.ip.split("."))


@given(specs)
def test_an_edge_switch_sends_up_what_its_full_ports_take_in_over_the_oversubscription(
    asked: FabricSpec,
) -> None:
    fabric = build_fabric(asked)
    fastest: dict[Plane, float] = defaultdict(float)
    for nic in fabric.nics:
        fastest[nic.plane] = max(fastest[nic.plane], nic.rate_bps)
    sizes = Counter(nic.plane for nic in fabric.nics)
    edges = [s for s in fabric.switches if s.level == "edge" and s.plane != "management"]
    many = Counter(edge.plane for edge in edges)
    for edge in edges:
        up_bps = sum(link.rate_bps for link in fabric.links if link.a == edge.name)
        k = asked.k or usual_arity(sizes[edge.plane])
        full_bps = k // 2 * fastest[edge.plane]
        owed_bps = full_bps / asked.oversubscription if many[edge.plane] > 1 else 0
        assert up_bps == pytest.approx(owed_bps)


@given(specs)
def test_each_pod_reaches_the_cores_with_the_bandwidth_of_a_full_pods_edges(
    asked: FabricSpec,
) -> None:
    fabric = build_fabric(asked)
    level = {switch.name: switch for switch in fabric.switches}
    sizes = Counter(nic.plane for nic in fabric.nics)
    to_cores: dict[tuple[Plane, int], int] = Counter()
    for link in fabric.links:
        if level[link.b].level == "core":
            to_cores[link.plane, level[link.a].pod] += 1
    pods = {(s.plane, s.pod) for s in fabric.switches if s.pod >= 0 and s.plane != "management"}
    for plane, pod in pods:
        half = (asked.k or usual_arity(sizes[plane])) // 2
        alone = len([p for p in pods if p[0] == plane]) == 1
        assert to_cores[plane, pod] == (0 if alone else half * half)


@given(specs)
def test_the_same_spec_gives_the_same_fabric(asked: FabricSpec) -> None:
    assert build_fabric(asked) == build_fabric(asked)


def test_a_full_k4_tree_has_sixteen_hosts_and_twenty_switches() -> None:
    fabric = build_fabric(spec(prefill=4, decode=4, gpus_per_node=2, k=4))
    compute = [switch for switch in fabric.switches if switch.plane == "compute"]
    assert Counter(s.level for s in compute) == {"edge": 8, "aggregation": 8, "core": 4}
    assert len([link for link in fabric.links if link.plane == "compute"]) == 32


def test_a_plane_that_fits_one_edge_switch_has_no_links() -> None:
    fabric = build_fabric(spec(prefill=1, decode=1, gpus_per_node=2, k=8))
    assert [s.name for s in fabric.switches] == ["ce0", "se0", "me0"]
    assert fabric.links == ()


def test_a_cnic_has_a_dram_end_in_the_host_and_an_hbm_end_in_the_gpu() -> None:
    nic = next(n for n in build_fabric(spec()).nics if n.name == "pe1.cnic1")
    assert [(end.name, end.host) for end in nic.ends] == [
        ("pe1.dram1", "pe1"),
        ("pe1.hbm1", "pe1g1"),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prefill": 0}, "prefill is 0: use at least 1"),
        ({"snic_bps": 0.0}, "snic_bps is 0.0: use a finite rate above 0"),
        ({"k": 3}, "k is 3: use an even number"),
        ({"oversubscription": 0.5}, "oversubscription is 0.5: use 1"),
        ({"mtu": 65001}, "mtu is 65001: use 1280 to 65000 bytes"),
        ({"k": 2}, "k is 2: the compute plane has 12 NICs .* use k=4"),
        ({"prefill": 70, "decode": 70, "gpus_per_node": 500}, "gpus_per_node is part of 70000"),
    ],
)
def test_an_impossible_spec_is_refused_with_field_value_and_remedy(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        build_fabric(spec(**changes))
