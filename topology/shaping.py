"""Every queue of the fabric: the one owner of queueing disciplines on hosts and leaves.

Each egress (host side of a NIC, every switch port) is an HTB root at the link's rate with
one class per virtual lane: its guaranteed share of the rate, all of it when others are
idle, served by priority (paper section 3). Class of lane `vl` is 1:(vl + 1) everywhere,
as Open vSwitch numbers its queues. On switch ports the controller makes the classes; this
module gives them leaves and, where Open vSwitch can't (userspace datapath), filters.

Leaves are byte FIFOs longer than all that can be in flight, so that nothing is dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isclose

from plan.lanes import LaneTable
from plan.model import Plan
from topology.namespace import run
from topology.network import Network

LEAF_BYTES = 64 * 2**20
"""Room in each lane's queue: 128 connections at their full credit, emulated bytes."""

BURST_S = 2e-3
"""Idle time an egress may make up for; covers late timers of a busy machine."""

ACKNOWLEDGEMENT_BYTES = 64
"""IP packets below this length (a power of two) hold headers and no payload."""

RATE_TOLERANCE = 0.01
_ROOT = 0xFFFE
_CLASS = re.compile(
    r"class htb 1:(?P<minor>\w+) (?:root|parent \S+)(?: leaf \S+)?"
    r"(?: prio (?P<prio>\d+))? rate (?P<rate>\S+) ceil (?P<ceil>\S+)"
)
_RATE = re.compile(r"([\d.]+)([KMG]?)bit")


@dataclass(frozen=True)
class Egress:
    """One transmitting device.

    Attributes:
        host: host (namespace) of the device; None for switch ports.
        device: its name there.
        wire_bps: rate its frames are shaped to, emulated bit/s on the wire.
    """

    host: str | None
    device: str
    wire_bps: float


@dataclass(frozen=True)
class QueueClass:
    """One HTB class below the root: minor number, lane name, rate share and priority."""

    minor: int
    lane: str
    share: float
    priority: int

    def rate_bps(self, egress: Egress, mtu: int) -> float:
        """Guaranteed emulated bit/s; Open vSwitch gives no class less than an MTU a second."""
        return max(self.share * egress.wire_bps, 8.0 * mtu)


def queue_classes(lanes: LaneTable) -> tuple[QueueClass, ...]:
    """The classes of every egress; a single one when lanes are off."""
    return tuple(
        QueueClass(lane.vl + 1, lane.name, lane.min_share, lane.priority) for lane in lanes.lanes
    )


@dataclass(frozen=True)
class Filter:
    """Frames whose first header word, masked, is `value` go to class `minor`.

    Attributes:
        order: filters are tried by this, ascending.
        protocol: `ip`, or `all` frames.
    """

    order: int
    protocol: str
    value: int
    mask: int
    minor: int


def filters(lanes: LaneTable) -> tuple[Filter, ...]:
    """How every egress classifies frames.

    Frames too short for payload are TCP's acknowledgements, the credits of this fabric:
    they take the control lane, for behind the bulk of the opposite direction they would
    throttle their flow, as no RDMA network does. Other frames go by their DSCP, and those
    that have none of the plan's to the last lane, as on the switches.
    """
    if not lanes.enabled:
        return (Filter(3, "all", 0, 0, 1),)
    unmarked = max(lane.vl for lane in lanes.lanes) + 1
    return (
        # word 0 of the IP header: version, DSCP (6 bits from bit 18), total length (16 bits)
        Filter(1, "ip", 0, 0xFFFF & -ACKNOWLEDGEMENT_BYTES, lanes.vl["control"] + 1),
        *(
            Filter(2, "ip", dscp << 18, 0x3F << 18, lanes.vl[traffic] + 1)
            for traffic, dscp in lanes.dscp.items()
        ),
        Filter(3, "all", 0, 0, unmarked),
    )


def host_egresses(plan: Plan) -> list[Egress]:
    """Host sides of all NICs (of a CNIC the parent, which DRAM and HBM share)."""
    return [
        Egress(nic.node, nic.host_device, wire_bps(plan, nic.rate_bps)) for nic in plan.fabric.nics
    ]


def switch_egresses(plan: Plan) -> list[Egress]:
    """All switch ports: towards NICs, then both ends of every link."""
    ports = [(nic.switch_device, nic.rate_bps) for nic in plan.fabric.nics]
    for link in plan.fabric.links:
        ports += [(link.a_device, link.rate_bps), (link.b_device, link.rate_bps)]
    return [Egress(None, device, wire_bps(plan, rate)) for device, rate in ports]


def wire_bps(plan: Plan, rate_bps: float) -> float:
    """Emulated bit/s on the wire, headers included, for a payload rate in model bit/s."""
    return plan.scale.wire_bps(rate_bps) * plan.fabric.framing


def shape_hosts(network: Network, plan: Plan, leaf_bytes: int = LEAF_BYTES) -> None:
    """Shape the host side of every NIC.

    Raises:
        CommandError: the kernel refused a setting.
    """
    for egress in host_egresses(plan):
        shape_host(network, plan, egress, leaf_bytes)


def shape_host(network: Network, plan: Plan, egress: Egress, leaf_bytes: int = LEAF_BYTES) -> None:
    """Shape one host-side egress, which has no queueing discipline yet.

    Raises:
        CommandError: the kernel refused a setting.
    """
    lines = [
        *_class_lines(egress, plan.lanes, plan.fabric.mtu),
        *_leaf_lines(egress, plan.lanes, leaf_bytes),
        *_filter_lines(egress, plan.lanes),
    ]
    _tc(lines, namespace(network, egress.host))


def finish_switch_ports(network: Network, plan: Plan, leaf_bytes: int = LEAF_BYTES) -> None:
    """Add leaves, and on the userspace datapath filters, to the controller's classes.

    Call it when the controller has created its queues.

    Raises:
        CommandError: a port has no such class yet, or the kernel refused a setting.
    """
    lines: list[str] = []
    for egress in switch_egresses(plan):
        lines += _leaf_lines(egress, plan.lanes, leaf_bytes)
        if network.daemons.datapath == "netdev":
            lines += _filter_lines(egress, plan.lanes)
    _tc(lines, None)


def read_back(network: Network, plan: Plan, leaf_bytes: int = LEAF_BYTES) -> list[str]:
    """Every disagreement between the plan and what the kernel reports; empty if none."""
    egresses = host_egresses(plan) + switch_egresses(plan)
    pids = {host: namespace(network, host) for host in dict.fromkeys(e.host for e in egresses)}
    leaves = {host: leaf_queues(pid) for host, pid in pids.items()}
    problems: list[str] = []
    for egress in egresses:
        pid = pids[egress.host]
        found = [
            *_class_problems(egress, plan, pid),
            *_leaf_problems(egress, plan.lanes, leaves[egress.host], leaf_bytes),
        ]
        if egress.host is not None or network.daemons.datapath == "netdev":
            found += _filter_problems(egress, plan.lanes, pid)
        problems += [f"{egress.device}: {problem}" for problem in found]
    return problems


def namespace(network: Network, host: str | None) -> int | None:
    """Process id of an egress's namespace; None is the switches', which is our own."""
    return None if host is None else network.namespace_pid(host)


@dataclass(frozen=True)
class Leaf:
    """A leaf queue as the kernel reports it: limit, bytes sent, waiting, frames dropped."""

    limit_bytes: int
    sent_bytes: int
    waiting_bytes: int
    drops: int


def leaf_queues(pid: int | None) -> dict[tuple[str, int], Leaf]:
    """Byte FIFOs of the namespace of `pid`, by device and minor number of their class."""
    qdiscs = json.loads(run(["tc", "-j", "-s", "qdisc", "show"], pid=pid))
    return {
        (qdisc["dev"], int(qdisc["parent"].split(":")[1], 16)): Leaf(
            qdisc["options"]["limit"], qdisc["bytes"], qdisc["backlog"], qdisc["drops"]
        )
        for qdisc in qdiscs
        if qdisc["kind"] == "bfifo" and "parent" in qdisc
    }


def _class_problems(egress: Egress, plan: Plan, pid: int | None) -> Iterator[str]:
    said = run(["tc", "class", "show", "dev", egress.device], pid=pid)
    reported = {
        int(found["minor"], 16): (_bits(found["rate"]), _bits(found["ceil"]), found["prio"])
        for found in _CLASS.finditer(said)
    }
    expected: dict[int, tuple[float, str | None]] = {
        item.minor: (item.rate_bps(egress, plan.fabric.mtu), str(item.priority))
        for item in queue_classes(plan.lanes)
    }
    expected[_ROOT] = (egress.wire_bps, None)
    for minor in sorted(reported.keys() - expected.keys()):
        yield f"class 1:{minor:x} is not in the plan"
    for minor, (rate_bps, priority) in expected.items():
        if minor not in reported:
            yield f"class 1:{minor:x} is missing"
            continue
        rate, ceil, prio = reported[minor]
        if not isclose(rate, rate_bps, rel_tol=RATE_TOLERANCE):
            yield f"class 1:{minor:x} has rate {rate:.0f} bit/s, planned {rate_bps:.0f}"
        if not isclose(ceil, egress.wire_bps, rel_tol=RATE_TOLERANCE):
            yield f"class 1:{minor:x} has ceil {ceil:.0f} bit/s, planned {egress.wire_bps:.0f}"
        if priority is not None and prio != priority:
            yield f"class 1:{minor:x} has priority {prio}, planned {priority}"


def _leaf_problems(
    egress: Egress, lanes: LaneTable, leaves: dict[tuple[str, int], Leaf], leaf_bytes: int
) -> Iterator[str]:
    for item in queue_classes(lanes):
        leaf = leaves.get((egress.device, item.minor))
        if leaf is None:
            yield f"class 1:{item.minor:x} has no byte FIFO"
        elif leaf.limit_bytes != leaf_bytes:
            yield f"class 1:{item.minor:x} holds {leaf.limit_bytes} bytes, planned {leaf_bytes}"


def _filter_problems(egress: Egress, lanes: LaneTable, pid: int | None) -> Iterator[str]:
    said = run(["tc", "-j", "filter", "show", "dev", egress.device, "parent", "1:"], pid=pid)
    reported = {
        (found["match"]["value"], found["match"]["mask"], found["flowid"])
        for item in json.loads(said)
        if "flowid" in (found := item.get("options", {}))
    }
    expected = {
        (f"{item.value:x}", f"{item.mask:x}", f"1:{item.minor:x}") for item in filters(lanes)
    }
    for value, mask, flow in sorted(expected - reported):
        yield f"filter 0x{value}/0x{mask} to class {flow} is missing"
    for value, mask, flow in sorted(reported - expected):
        yield f"filter 0x{value}/0x{mask} to class {flow} is not in the plan"


def _class_lines(egress: Egress, lanes: LaneTable, mtu: int) -> Iterator[str]:
    frame = mtu + 14
    burst = max(2 * frame, round(egress.wire_bps / 8 * BURST_S))
    common = f"ceil {egress.wire_bps:.0f}bit burst {burst}b cburst {burst}b quantum {frame}"
    on = f"dev {egress.device}"
    yield f"qdisc add {on} root handle 1: htb default 1"
    yield f"class add {on} parent 1: classid 1:{_ROOT:x} htb rate {egress.wire_bps:.0f}bit {common}"
    for item in queue_classes(lanes):
        yield (
            f"class add {on} parent 1:{_ROOT:x} classid 1:{item.minor:x} htb "
            f"rate {item.rate_bps(egress, mtu):.0f}bit {common} prio {item.priority}"
        )


def _leaf_lines(egress: Egress, lanes: LaneTable, leaf_bytes: int) -> Iterator[str]:
    for item in queue_classes(lanes):
        # any handle but the root's will do
        yield (
            f"qdisc add dev {egress.device} parent 1:{item.minor:x} handle {item.minor + 1:x}: "
            f"bfifo limit {leaf_bytes}"
        )


def _filter_lines(egress: Egress, lanes: LaneTable) -> Iterator[str]:
    for item in filters(lanes):
        yield (
            f"filter add dev {egress.device} parent 1: protocol {item.protocol} "
            f"prio {item.order} u32 match u32 0x{item.value:08x} 0x{item.mask:08x} at 0 "
            f"flowid 1:{item.minor:x}"
        )


def _bits(said: str) -> float:
    """bit/s of what tc prints: a number and bit, Kbit, Mbit or Gbit (powers of ten)."""
    found = _RATE.fullmatch(said)
    if found is None:
        raise ValueError(f"rate is {said!r}: tc should print a number and bit, Kbit, Mbit or Gbit")
    number, prefix = found.groups()
    return float(number) * {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}[prefix]


def _tc(lines: Iterable[str], pid: int | None) -> None:
    run(["tc", "-batch", "-"], stdin="\n".join(lines), pid=pid)
