"""k-ary fat-trees: from node counts and NIC rates to every switch, port, link and address.

A k-ary fat-tree has k pods of k/2 edge and k/2 aggregation switches and (k/2)^2 core
switches. Only what the hosts present need is created: hosts fill edges and pods in order,
one edge switch alone needs nothing above it, one pod alone needs no cores.

Ports: an edge has its hosts on 1..k/2 and its aggregation switches on k/2+1..k; an
aggregation switch its edges on 1..k/2 and its cores on k/2+1..k; a core has pod p on p+1.
Aggregation switch j of every pod connects to cores j*k/2 .. (j+1)*k/2 - 1.

Addresses: CNIC ends 10.1/16, SNICs 10.2/16, management 10.3/16, numbered from 1 in
construction order; the MAC is 02:00 and the four bytes of the address.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from plan.fabric import End, Fabric, Link, Nic, NicKind, Node, Plane, Side, Switch
from plan.names import (
    AGENTS,
    SCHEDULER,
    cnic_name,
    device,
    dram_end,
    engine_name,
    gpu_host,
    hbm_end,
    mgmt_end,
    node_name,
    port_device,
    snic_end,
    switch_name,
)

MAX_ARITY = 64
USUAL_ARITY = 4
"""Where nobody asks for another, no tree has less. At k = 2 each edge switch has one host, so that
five switches are between two of them, and every one takes processor time; at k = 4 one is."""
SUBNET_HOSTS = 2**16 - 2
_SUBNET: dict[NicKind, int] = {"cnic": 1, "snic": 2, "mgmt": 3}
_PLANE_NUMBER: dict[Plane, int] = {"compute": 1, "storage": 2, "management": 3}
_LEVEL_NUMBER = {"edge": 0, "aggregation": 1, "core": 2}


class FabricSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a fabric is built for.

    Attributes:
        prefill, decode, storage: number of nodes of each kind.
        gpus_per_node: GPUs, and so CNICs, of a prefill or decode node.
        snic_bps, cnic_bps, storage_bps, management_bps: payload rate of each kind of NIC,
            each direction, model bit/s (`storage_bps`: the SNIC of a storage host).
        k: arity of the fat-trees, even; None is the smallest from 4 on that fits, plane by plane.
        oversubscription: rate of a plane's fastest NIC over the rate of its
            switch-to-switch links, so host over uplink bandwidth of a full edge switch.
        converged: True puts SNICs on the compute fabric too.
        mtu: bytes, of every interface.

    Raises:
        ValueError: a field is out of the range above.
    """

    prefill: int
    decode: int
    storage: int
    gpus_per_node: int
    snic_bps: float
    cnic_bps: float
    storage_bps: float
    management_bps: float
    k: int | None = None
    oversubscription: float = 1.0
    converged: bool = False
    mtu: int = 9000

    def __post_init__(self) -> None:
        for name in ("prefill", "decode", "storage", "gpus_per_node"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "use at least 1")
        for name in ("snic_bps", "cnic_bps", "storage_bps", "management_bps"):
            value = getattr(self, name)
            _require(0 < value < float("inf"), name, value, "use a finite rate above 0")
        _require(
            self.k is None or (self.k % 2 == 0 and 2 <= self.k <= MAX_ARITY),
            "k",
            self.k,
            f"use an even number from 2 to {MAX_ARITY}, or leave it out",
        )
        _require(
            1 <= self.oversubscription < float("inf"),
            "oversubscription",
            self.oversubscription,
            "use 1 (full bisection) or more",
        )
        _require(1280 <= self.mtu <= 65000, "mtu", self.mtu, "use 1280 to 65000 bytes")


def build_fabric(spec: FabricSpec) -> Fabric:
    """The fabric of `spec`; the same spec always gives the same fabric.

    Raises:
        ValueError: a plane has more NICs than its tree has ports or its subnet addresses.
    """
    nodes = _nodes(spec)
    cnics = [_cnic(spec, node, i) for node in nodes for i in range(node.gpus)]
    snics = [_snic(spec, node) for node in nodes if node.kind in ("storage", "prefill", "decode")]
    mgmts = [_NicSpec(node, "mgmt", mgmt_end(node.name), spec.management_bps) for node in nodes]

    trees = (
        [_tree("compute", cnics + snics, spec)]
        if spec.converged
        else [_tree("compute", cnics, spec), _tree("storage", snics, spec)]
    )
    trees.append(_single_switch(mgmts))
    addresses = _Addresses()
    return Fabric(
        mtu=spec.mtu,
        nodes=tuple(nodes),
        nics=tuple(_attach(nic, port, addresses) for tree in trees for nic, port in tree.ports),
        switches=tuple(switch for tree in trees for switch in tree.switches),
        links=tuple(link for tree in trees for link in tree.links),
    )


def usual_arity(hosts: int) -> int:
    """Of a plane with so many hosts, where nobody asks for another."""
    return max(smallest_arity(hosts), USUAL_ARITY)


def smallest_arity(hosts: int) -> int:
    """The smallest even k whose fat-tree has room for `hosts` (k^3/4 of them)."""
    k = 2
    while k**3 // 4 < hosts:
        k += 2
    return k


@dataclass(frozen=True)
class _NicSpec:
    """A NIC that has no port yet. `gpu` is the GPU of a CNIC."""

    node: Node
    kind: NicKind
    name: str
    rate_bps: float
    gpu: int | None = None


@dataclass(frozen=True)
class _Tree:
    """One plane: its switches and links, and which leaf port each NIC got."""

    switches: list[Switch]
    links: list[Link]
    ports: list[tuple[_NicSpec, tuple[Switch, int]]]


@dataclass
class _Addresses:
    """Hands out the addresses of each subnet in order."""

    used: dict[int, int] = field(default_factory=dict)

    def next(self, kind: NicKind) -> tuple[str, str]:
        subnet = _SUBNET[kind]
        number = self.used[subnet] = self.used.get(subnet, 0) + 1
        _require(
            number <= SUBNET_HOSTS,
            "gpus_per_node" if kind == "cnic" else "storage",
            f"{number} {kind} addresses",
            f"a plane has {SUBNET_HOSTS} addresses: use fewer nodes",
        )
        octets = (10, subnet, number >> 8, number & 255)
        mac = ":".join(f"{octet:02x}" for octet in (2, 0, *octets))
        return ".".join(map(str, octets)), mac


def _require(holds: bool, name: str, value: object, remedy: str) -> None:  # noqa: FBT001
    if not holds:
        raise ValueError(f"{name} is {value}: {remedy}")


def _nodes(spec: FabricSpec) -> list[Node]:
    gpus = spec.gpus_per_node
    return [
        *(Node(name=node_name("storage", i), kind="storage") for i in range(spec.storage)),
        *(_engine_node("prefill", i, gpus) for i in range(spec.prefill)),
        *(_engine_node("decode", i, gpus) for i in range(spec.decode)),
        Node(name=SCHEDULER, kind="scheduler"),
        Node(name=AGENTS, kind="agents"),
    ]


def _engine_node(side: Side, number: int, gpus: int) -> Node:
    return Node(name=node_name(side, number), kind=side, gpus=gpus)


def _cnic(spec: FabricSpec, node: Node, gpu: int) -> _NicSpec:
    name = cnic_name(engine_name(node.name, gpu))
    return _NicSpec(node, "cnic", name, spec.cnic_bps, gpu)


def _snic(spec: FabricSpec, node: Node) -> _NicSpec:
    rate_bps = spec.storage_bps if node.kind == "storage" else spec.snic_bps
    return _NicSpec(node, "snic", snic_end(node.name), rate_bps)


def _arity(plane: Plane, hosts: int, spec: FabricSpec) -> int:
    if spec.k is None:
        k = usual_arity(hosts)
        _require(
            k <= MAX_ARITY,
            "gpus_per_node" if plane == "compute" else "storage",
            f"part of {hosts} NICs on the {plane} plane",
            f"a k={MAX_ARITY} fat-tree has {MAX_ARITY**3 // 4} ports: use fewer nodes",
        )
        return k
    _require(
        hosts <= spec.k**3 // 4,
        "k",
        spec.k,
        f"the {plane} plane has {hosts} NICs and a k={spec.k} fat-tree {spec.k**3 // 4} ports: "
        f"use k={smallest_arity(hosts)} or leave it out",
    )
    return spec.k


def _tree(plane: Plane, nics: list[_NicSpec], spec: FabricSpec) -> _Tree:
    """The part of a k-ary fat-tree that `nics` need, filled edge by edge, pod by pod."""
    half = _arity(plane, len(nics), spec) // 2
    edge_count = -(-len(nics) // half)
    pod_count = -(-edge_count // half)
    edges = [_switch(plane, "edge", i, i // half) for i in range(edge_count)]
    aggregations = (
        [_switch(plane, "aggregation", i, i // half) for i in range(pod_count * half)]
        if edge_count > 1
        else []
    )
    cores = [_switch(plane, "core", i, -1) for i in range(half * half)] if pod_count > 1 else []

    rate_bps = max(nic.rate_bps for nic in nics) / spec.oversubscription
    links = [
        _link(edge, half + 1 + j, aggregations[edge.pod * half + j], e % half + 1, rate_bps)
        for e, edge in enumerate(edges)
        for j in range(half if aggregations else 0)
    ]
    links += [
        _link(aggregation, half + 1 + c, cores[a % half * half + c], aggregation.pod + 1, rate_bps)
        for a, aggregation in enumerate(aggregations)
        for c in range(half if cores else 0)
    ]
    ports = [(nic, (edges[i // half], i % half + 1)) for i, nic in enumerate(nics)]
    return _Tree([*edges, *aggregations, *cores], links, ports)


def _single_switch(nics: list[_NicSpec]) -> _Tree:
    switch = _switch("management", "edge", 0, 0)
    return _Tree([switch], [], [(nic, (switch, port)) for port, nic in enumerate(nics, 1)])


def _switch(
    plane: Plane, level: Literal["edge", "aggregation", "core"], index: int, pod: int
) -> Switch:
    dpid = _PLANE_NUMBER[plane] << 24 | _LEVEL_NUMBER[level] << 16 | index
    name = switch_name(plane, level, index)
    return Switch(name=name, dpid=dpid, plane=plane, level=level, pod=pod)


def _link(a: Switch, a_port: int, b: Switch, b_port: int, rate_bps: float) -> Link:
    return Link(
        a=a.name,
        a_port=a_port,
        a_device=port_device(a.name, a_port),
        b=b.name,
        b_port=b_port,
        b_device=port_device(b.name, b_port),
        plane=a.plane,
        rate_bps=rate_bps,
    )


def _attach(nic: _NicSpec, place: tuple[Switch, int], addresses: _Addresses) -> Nic:
    switch, port = place
    return Nic(
        name=nic.name,
        node=nic.node.name,
        kind=nic.kind,
        plane=switch.plane,
        rate_bps=nic.rate_bps,
        switch=switch.name,
        port=port,
        switch_device=port_device(switch.name, port),
        host_device=device(nic.name),
        ends=_ends(nic, addresses),
        gpu=nic.gpu,
    )


def _ends(nic: _NicSpec, addresses: _Addresses) -> tuple[End, ...]:
    node = nic.node.name
    if nic.gpu is None:
        return (_end(nic.name, node, nic.kind, addresses),)
    engine = engine_name(node, nic.gpu)
    return (
        _end(dram_end(engine), node, nic.kind, addresses),
        _end(hbm_end(engine), gpu_host(node, nic.gpu), nic.kind, addresses),
    )


def _end(name: str, host: str, kind: NicKind, addresses: _Addresses) -> End:
    ip, mac = addresses.next(kind)
    return End(name=name, host=host, device=device(name), ip=ip, mac=mac)
