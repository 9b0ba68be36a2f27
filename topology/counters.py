"""What the kernel counted: bytes, drops and retransmissions of the running fabric."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from plan.model import Plan
from topology.network import Network
from topology.ovs import receive_drops
from topology.shaping import (
    Leaf,
    host_egresses,
    leaf_queues,
    namespace,
    queue_classes,
    switch_egresses,
)


@dataclass(frozen=True)
class LaneCount:
    """One lane over every egress of the fabric: emulated bytes sent, frames dropped.

    A frame counts at each egress it passes.
    """

    sent_bytes: int
    drops: int


def retransmits(network: Network) -> dict[str, int]:
    """TCP segments sent again, by host; in a lossless fabric all are 0."""
    return {host: _retransmits(network.namespace_pid(host)) for host in network.hosts}


def lanes(network: Network, plan: Plan) -> dict[str, LaneCount]:
    """Bytes and drops of every lane, by its name."""
    egresses = host_egresses(plan) + switch_egresses(plan)
    leaves = _leaves(network, plan)
    counts: dict[str, LaneCount] = {}
    for item in queue_classes(plan.lanes):
        found = [leaves[egress.host][egress.device, item.minor] for egress in egresses]
        counts[item.lane] = LaneCount(
            sum(leaf.sent_bytes for leaf in found), sum(leaf.drops for leaf in found)
        )
    return counts


def egress_lanes(network: Network, plan: Plan, host: str | None, device: str) -> dict[str, int]:
    """Emulated bytes that one egress has sent, by lane; `host` None for switch ports."""
    leaves = leaf_queues(namespace(network, host))
    return {item.lane: leaves[device, item.minor].sent_bytes for item in queue_classes(plan.lanes)}


def drops(network: Network, plan: Plan) -> dict[str, int]:
    """Frames dropped by queues, by lane; `receive` is what switch ports could not take in."""
    counted = {name: count.drops for name, count in lanes(network, plan).items()}
    if network.daemons.datapath == "netdev":
        counted["receive"] = receive_drops(network.daemons.vswitchd_pid)
    return counted


def waiting_bytes(network: Network, plan: Plan) -> int:
    """Emulated bytes that wait in all queues of the fabric now."""
    leaves = _leaves(network, plan).values()
    return sum(leaf.waiting_bytes for found in leaves for leaf in found.values())


def backlog(network: Network, plan: Plan) -> dict[str, dict[str, float]]:
    """What waits now, by egress (`<nic> out`, `<nic> in`, `a→b`) and lane, model bytes.

    Payload, as in `egress_bytes`; empty queues are left out.
    """
    leaves = _leaves(network, plan)
    lane_of = {item.minor: item.lane for item in queue_classes(plan.lanes)}
    found: dict[str, dict[str, float]] = {}
    for (host, device), name in _egress_names(plan).items():
        for minor, lane in lane_of.items():
            if waiting := leaves[host][device, minor].waiting_bytes:
                size = plan.payload_bytes(waiting)
                found.setdefault(name, {})[lane] = size
    return found


def _egress_names(plan: Plan) -> dict[tuple[str | None, str], str]:
    names: dict[tuple[str | None, str], str] = {}
    for nic in plan.fabric.nics:
        names[nic.node, nic.host_device] = f"{nic.name} out"
        names[None, nic.switch_device] = f"{nic.name} in"
    for link in plan.fabric.links:
        for device, direction in zip((link.a_device, link.b_device), link.directions, strict=True):
            names[None, device] = direction
    return names


def egress_bytes(network: Network, plan: Plan) -> dict[str, tuple[float, float]]:
    """Payload out of and into the node of every NIC so far, model bytes, by the NIC's name.

    Payload is what is left of the frames without full-sized segments' share of headers, so a
    NIC that is saturated shows its nominal rate.
    """
    hosts = {host: device_bytes(network.namespace_pid(host)) for host in _hosts(plan)}
    ports = device_bytes(None)

    return {
        nic.name: (
            plan.payload_bytes(hosts[nic.node][nic.host_device]),
            plan.payload_bytes(ports[nic.switch_device]),
        )
        for nic in plan.fabric.nics
    }


def _leaves(network: Network, plan: Plan) -> dict[str | None, dict[tuple[str, int], Leaf]]:
    """Leaf queues of every node, and under None of the switches."""
    return {host: leaf_queues(namespace(network, host)) for host in [*_hosts(plan), None]}


def _hosts(plan: Plan) -> list[str]:
    return list(dict.fromkeys(nic.node for nic in plan.fabric.nics))


def device_bytes(pid: int | None) -> dict[str, int]:
    """Bytes transmitted by every device of a namespace."""
    lines = Path(f"/proc/{pid or 'self'}/net/dev").read_text().splitlines()[2:]
    rows = (line.partition(":") for line in lines)
    return {device.strip(): int(numbers.split()[8]) for device, _, numbers in rows}


def _retransmits(pid: int) -> int:
    names, values = (
        line.split()
        for line in Path(f"/proc/{pid}/net/snmp").read_text().splitlines()
        if line.startswith("Tcp:")
    )
    return int(values[names.index("RetransSegs")])
