"""What the kernel counted: bytes, drops and retransmissions of the running fabric."""

from __future__ import annotations

from pathlib import Path

from plan.errors import RunError
from plan.lanes import Egress, Lane
from plan.model import Plan
from topology.network import Network
from topology.ovs import receive_drops
from topology.shaping import Leaf, leaf_queues, namespace


def retransmits(network: Network) -> dict[str, int]:
    """TCP segments sent again, by host; in a lossless fabric all are 0."""
    return {host: _retransmits(network.namespace_pid(host)) for host in network.hosts}


def egress_lanes(network: Network, plan: Plan, egress: Egress) -> dict[str, int]:
    """Emulated bytes that one egress has sent, by lane."""
    leaves = leaf_queues(namespace(network, egress.host))
    return {lane.name: leaves[egress.device, lane.vl].sent_bytes for lane in plan.lanes.lanes}


def drops(network: Network, plan: Plan) -> dict[str, int]:
    """Frames dropped by queues, by lane; `receive` is what switch ports could not take in."""
    leaves = _leaves(network, plan)
    counted = {
        lane.name: sum(_leaf(leaves, one, lane).drops for one in plan.egresses)
        for lane in plan.lanes.lanes
    }
    if network.daemons.datapath == "netdev":
        counted["receive"] = sum(map(receive_drops, network.daemons.vswitchd_pids))
    return counted


def waiting_bytes(network: Network, plan: Plan) -> int:
    """Emulated bytes that wait in all queues of the fabric now."""
    leaves = _leaves(network, plan).values()
    return sum(leaf.waiting_bytes for found in leaves for leaf in found.values())


def backlog(network: Network, plan: Plan) -> dict[str, dict[str, float]]:
    """What waits now, by egress and lane, model bytes.

    Payload, as in `egress_bytes`; empty queues are left out.

    Raises:
        RunError: a queue is gone.
    """
    leaves = _leaves(network, plan)
    found: dict[str, dict[str, float]] = {}
    for egress in plan.egresses:
        for lane in plan.lanes.lanes:
            if waiting := _leaf(leaves, egress, lane).waiting_bytes:
                found.setdefault(egress.name, {})[lane.name] = plan.payload_bytes(waiting)
    return found


def egress_bytes(network: Network, plan: Plan) -> dict[str, tuple[float, float]]:
    """Payload out of and into the node of every NIC so far, model bytes, by the NIC's name.

    Payload is what is left of the frames without full-sized segments' share of headers, so a
    NIC that is saturated shows its nominal rate.
    """
    sent = {host: device_bytes(namespace(network, host)) for host in _hosts(plan)}
    return {
        nic.name: (
            plan.payload_bytes(sent[nic.node][nic.host_device]),
            plan.payload_bytes(sent[None][nic.switch_device]),
        )
        for nic in plan.fabric.nics
    }


def switch_bytes(plan: Plan) -> int:
    """Bytes on the wire that all switch ports have sent so far."""
    sent = device_bytes(None)
    return sum(sent.get(egress.device, 0) for egress in plan.egresses if egress.host is None)


def sockets_hold(network: Network) -> bool:
    """Whether any TCP socket of a host has bytes that its peer has not acknowledged."""
    return any(_unacknowledged(network.namespace_pid(host)) for host in network.hosts)


def _unacknowledged(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return any(int(line.split()[4].partition(":")[0], 16) for line in lines)


def _leaves(network: Network, plan: Plan) -> dict[str | None, dict[tuple[str, int], Leaf]]:
    """Leaf queues of every node, and under None of the switches."""
    return {host: leaf_queues(namespace(network, host)) for host in _hosts(plan)}


def _leaf(
    leaves: dict[str | None, dict[tuple[str, int], Leaf]], egress: Egress, lane: Lane
) -> Leaf:
    try:
        return leaves[egress.host][egress.device, lane.vl]
    except KeyError:
        queue = f"queue {lane.name} of {egress.name} ({egress.device})"
        raise RunError(f"{queue} is gone: its bridge was removed, or it was shaped anew") from None


def _hosts(plan: Plan) -> list[str | None]:
    return list(dict.fromkeys(egress.host for egress in plan.egresses))


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
