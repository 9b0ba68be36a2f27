"""The emulated datacentre as data: planes, switches, links, nodes, NICs and their ends.

`plan.names` has the rule by which they are named.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from plan.names import direction, engine_name, gpu_host, link_name

NodeKind = Literal["storage", "prefill", "decode", "scheduler", "agents"]
Side = Literal["prefill", "decode"]
SIDES: tuple[Side, Side] = ("prefill", "decode")
NicKind = Literal["snic", "cnic", "mgmt"]
Plane = Literal["compute", "storage", "management"]


class End(msgspec.Struct, frozen=True, kw_only=True):
    """An address that transfers start or finish at.

    Attributes:
        host: Mininet host (network namespace) that owns the interface: the node's own, or
            the GPU's for its HBM end.
        device: network interface inside that namespace.
    """

    name: str
    host: str
    device: str
    ip: str
    mac: str


class Nic(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC: one port of a leaf switch, shaped to `rate_bps` in each direction.

    `cnic` has two ends (DRAM and HBM) whose traffic with each other is reflected at the
    leaf; `snic` and `mgmt` have one.

    Attributes:
        rate_bps: nominal payload rate, model bit/s, each direction.
        gpu: whose CNIC it is; None for other NICs.
        switch: leaf switch; port: its OpenFlow port number.
        switch_device: the leaf's interface name; host_device: the host side's (for a CNIC
            the parent of the two VEPA macvlans).
    """

    name: str
    node: str
    kind: NicKind
    plane: Plane
    rate_bps: float
    switch: str
    port: int
    switch_device: str
    host_device: str
    ends: tuple[End, ...]
    gpu: int | None = None


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """A switch. `level` is edge, aggregation or core; `pod` is -1 for core switches."""

    name: str
    dpid: int
    plane: Plane
    level: Literal["edge", "aggregation", "core"]
    pod: int


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A switch-to-switch link, shaped to `rate_bps` (model bit/s) in each direction."""

    a: str
    a_port: int
    a_device: str
    b: str
    b_port: int
    b_device: str
    plane: Plane
    rate_bps: float

    @property
    def name(self) -> str:
        return link_name(self.a, self.b)

    @property
    def directions(self) -> tuple[str, str]:
        """The names of its two directions, in the order of its counters."""
        return direction(self.a, self.b), direction(self.b, self.a)


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node: one host (network namespace), plus one for each GPU."""

    name: str
    kind: NodeKind
    gpus: int = 0

    @property
    def gpu_hosts(self) -> list[str]:
        """The hosts of its GPUs, in order."""
        return [gpu_host(self.name, gpu) for gpu in range(self.gpus)]

    @property
    def engines(self) -> list[str]:
        """Its engines, in order."""
        return [engine_name(self.name, gpu) for gpu in range(self.gpus)]


class Fabric(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is built. Order is construction order and deterministic."""

    mtu: int
    nodes: tuple[Node, ...]
    nics: tuple[Nic, ...]
    switches: tuple[Switch, ...]
    links: tuple[Link, ...]

    @property
    def framing(self) -> float:
        """Bytes on the wire per byte of payload: Ethernet, IP and TCP (timestamps) headers
        on full-sized segments. Egresses are shaped to payload rate x framing."""
        return (self.mtu + 14) / (self.mtu - 52)

    def nodes_of(self, kind: NodeKind) -> list[Node]:
        """Nodes of one kind, in order."""
        return [node for node in self.nodes if node.kind == kind]

    @property
    def engine_nodes(self) -> list[Node]:
        """Prefill and decode nodes, in order."""
        return [node for node in self.nodes if node.gpus]

    def kind_of(self, node: str) -> NodeKind:
        """What a node is.

        Raises:
            KeyError: there is no such node.
        """
        for one in self.nodes:
            if one.name == node:
                return one.kind
        raise KeyError(node)

    def side_of(self, node: str) -> Side:
        """The side of a prefill or decode node.

        Raises:
            KeyError: it is neither.
        """
        for side in SIDES:
            if self.kind_of(node) == side:
                return side
        raise KeyError(node)

    @property
    def engine_snics(self) -> list[Nic]:
        """SNICs of prefill and decode nodes, in the order of the nodes."""
        snics = {nic.node: nic for nic in self.nics if nic.kind == "snic"}
        return [snics[node.name] for node in self.engine_nodes]

    def ends(self) -> dict[str, End]:
        """All ends by name."""
        return {end.name: end for nic in self.nics for end in nic.ends}

    def nic_of_end(self) -> dict[str, Nic]:
        """The NIC behind each end, by the end's name."""
        return {end.name: nic for nic in self.nics for end in nic.ends}


def storage_host(hosts: list[str], owner: int) -> str:
    """The storage host that keeps the blocks of an agent, or of a stem."""
    return hosts[owner % len(hosts)]
