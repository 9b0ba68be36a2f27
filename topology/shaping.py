"""Every queue of the fabric: the one owner of queueing disciplines on hosts and leaves.

Each egress (host side of a NIC, every switch port) is an HTB root at the link's rate with
one class per virtual lane: its guaranteed share of the rate, all of it when others are
idle, served by priority (paper section 3). All of that is the plan's. On switch ports the
controller makes the classes; this module gives them leaves and, where Open vSwitch can't
(userspace datapath), filters.

Leaves are byte FIFOs longer than all that can be in flight, so that nothing is dropped.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

import msgspec

from plan.lanes import Egress, LaneTable
from plan.model import Plan
from topology.namespace import run
from topology.network import Network

LEAF_BYTES = 64 * 2**20
"""Room in each lane's queue: 128 connections at their full credit, emulated bytes."""

FIRST_FILTER = 1
"""Where a filter stands that is tried before those of the lanes."""

RATE_TOLERANCE = 0.01
_ROOT = 0xFFFE
_CLASS = re.compile(
    r"class htb 1:(?P<minor>\w+) (?:root|parent \S+)(?: leaf \S+)?"
    r"(?: prio (?P<prio>\d+))? rate (?P<rate>\S+) ceil (?P<ceil>\S+)"
)
_CLASSES_AND_FILTERS = re.compile(r"(?:^class .*\n)+(?:^(?!class ).*\n)+", re.MULTILINE)
_RATE = re.compile(r"([\d.]+)([KMG]?)bit")


def shape_hosts(network: Network, plan: Plan) -> None:
    """Shape the host side of every NIC.

    Raises:
        CommandError: the kernel refused a setting.
    """
    for egress in plan.egresses:
        if egress.host is not None:
            shape_host(network, plan, egress)


def shape_host(network: Network, plan: Plan, egress: Egress) -> None:
    """Shape one host-side egress, which has no queueing discipline yet.

    Raises:
        CommandError: the kernel refused a setting.
    """
    lines = [
        *_class_lines(egress, plan),
        *_leaf_lines(egress, plan.lanes),
        *_filter_lines(egress, plan.lanes),
    ]
    _tc(lines, namespace(network, egress.host))


def finish_switch_ports(network: Network, plan: Plan) -> None:
    """Add leaves, and on the userspace datapath filters, to the controller's classes.

    Call it when the controller has created its queues.

    Raises:
        CommandError: a port has no such class yet, or the kernel refused a setting.
    """
    lines: list[str] = []
    for egress in plan.egresses:
        if egress.host is None:
            lines += _leaf_lines(egress, plan.lanes)
            if network.daemons.datapath == "netdev":
                lines += _filter_lines(egress, plan.lanes)
    _tc(lines, None)


def set_rates(network: Network, plan: Plan, egress: Egress, share: float) -> None:
    """Leave all classes of an egress a share of what is planned.

    Raises:
        CommandError: the kernel refused a setting.
    """
    lines = [
        line.replace("class add", "class change")
        for line in _class_lines(egress, plan, share)
        if line.startswith("class")
    ]
    _tc(lines, namespace(network, egress.host))


def class_rates(network: Network, egress: Egress) -> dict[int, float]:
    """What each class of an egress may send at most, emulated bit/s, by its minor number."""
    said = _tc([f"class show dev {egress.device}"], namespace(network, egress.host))
    return {int(found["minor"], 16): _bits(found["ceil"]) for found in _CLASS.finditer(said)}


def read_back(network: Network, plan: Plan) -> list[str]:
    """Every disagreement between the plan and what the kernel reports; empty if none."""
    here: dict[str | None, list[Egress]] = defaultdict(list)
    for egress in plan.egresses:
        here[egress.host].append(egress)
    return [
        f"{device}: {problem}"
        for host, egresses in here.items()
        for device, problem in _problems(network, plan, host, egresses)
    ]


def _problems(
    network: Network, plan: Plan, host: str | None, egresses: Sequence[Egress]
) -> Iterator[tuple[str, str]]:
    """Of the egresses of one namespace, each with its device."""
    pid = namespace(network, host)
    devices = [egress.device for egress in egresses]
    leaves, classes = leaf_queues(pid), _classes(devices, pid)
    filtered = host is not None or network.daemons.datapath == "netdev"
    filters = _filters(devices, pid) if filtered else {}
    for egress in egresses:
        found = [
            *_class_problems(egress, plan, classes[egress.device]),
            *_leaf_problems(egress, plan.lanes, leaves),
        ]
        if filtered:
            found += _filter_problems(plan.lanes, filters[egress.device])
        yield from ((egress.device, problem) for problem in found)


def _minor(vl: int) -> int:
    """Minor number of a lane's HTB class, as Open vSwitch numbers those of its queues."""
    return vl + 1


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
    """Byte FIFOs of the namespace of `pid`, by device and virtual lane."""
    qdiscs = json.loads(run(["tc", "-j", "-s", "qdisc", "show"], pid=pid))
    return {
        (qdisc["dev"], int(qdisc["parent"].split(":")[1], 16) - 1): Leaf(
            qdisc["options"]["limit"], qdisc["bytes"], qdisc["backlog"], qdisc["drops"]
        )
        for qdisc in qdiscs
        if qdisc["kind"] == "bfifo" and "parent" in qdisc
    }


def _classes(devices: Sequence[str], pid: int | None) -> dict[str, str]:
    """What tc says of the classes of devices in the namespace of `pid`.

    Its lines name no device, but where all have filters, those end each one's.
    """
    shown = (f"class show dev {device}\nfilter show dev {device} parent 1:" for device in devices)
    said = _CLASSES_AND_FILTERS.findall(_tc(shown, pid))
    if len(said) != len(devices):
        said = [_tc([f"class show dev {device}"], pid) for device in devices]
    return dict(zip(devices, said, strict=True))


def _filters(devices: Sequence[str], pid: int | None) -> dict[str, Any]:
    """What tc says of the filters of devices in the namespace of `pid`: a line of JSON each."""
    said = _tc((f"filter show dev {device} parent 1:" for device in devices), pid, "-j")
    return dict(zip(devices, map(json.loads, said.splitlines()), strict=True))


def _class_problems(egress: Egress, plan: Plan, said: str) -> Iterator[str]:
    reported = {
        int(found["minor"], 16): (_bits(found["rate"]), _bits(found["ceil"]), found["prio"])
        for found in _CLASS.finditer(said)
    }
    expected: dict[int, tuple[int, str | None]] = {
        _minor(item.vl): (item.rate_bps, str(item.priority)) for item in plan.queue_classes(egress)
    }
    ceil_bps = plan.wire_bps(egress.rate_bps)
    expected[_ROOT] = (ceil_bps, None)
    for number in sorted(reported.keys() - expected.keys()):
        yield f"class 1:{number:x} is not in the plan"
    for number, (rate_bps, priority) in expected.items():
        if number not in reported:
            yield f"class 1:{number:x} is missing"
            continue
        rate, ceil, prio = reported[number]
        if not isclose(rate, rate_bps, rel_tol=RATE_TOLERANCE):
            yield f"class 1:{number:x} has rate {rate:.0f} bit/s, planned {rate_bps}"
        if not isclose(ceil, ceil_bps, rel_tol=RATE_TOLERANCE):
            yield f"class 1:{number:x} has ceil {ceil:.0f} bit/s, planned {ceil_bps}"
        if priority is not None and prio != priority:
            yield f"class 1:{number:x} has priority {prio}, planned {priority}"


def _leaf_problems(
    egress: Egress, lanes: LaneTable, leaves: dict[tuple[str, int], Leaf]
) -> Iterator[str]:
    for lane in lanes.lanes:
        leaf = leaves.get((egress.device, lane.vl))
        if leaf is None:
            yield f"class 1:{_minor(lane.vl):x} has no byte FIFO"
        elif leaf.limit_bytes != LEAF_BYTES:
            yield (
                f"class 1:{_minor(lane.vl):x} holds {leaf.limit_bytes} bytes, planned {LEAF_BYTES}"
            )


def _filter_problems(lanes: LaneTable, said: Any) -> Iterator[str]:
    reported = {
        (found["match"]["value"], found["match"]["mask"], found["flowid"])
        for item in said
        if "flowid" in (found := item.get("options", {}))
    }
    expected = {
        (f"{item.value:x}", f"{item.mask:x}", f"1:{_minor(item.vl):x}") for item in lanes.filters
    }
    for value, mask, flow in sorted(expected - reported):
        yield f"filter 0x{value}/0x{mask} to class {flow} is missing"
    for value, mask, flow in sorted(reported - expected):
        yield f"filter 0x{value}/0x{mask} to class {flow} is not in the plan"


def _class_lines(egress: Egress, plan: Plan, share: float = 1.0) -> Iterator[str]:
    """Commands that make an egress's classes, at a share of their rates."""
    slowed = msgspec.structs.replace(egress, rate_bps=share * egress.rate_bps)
    on, classes = f"dev {egress.device}", plan.queue_classes(slowed)
    ceil_bps, burst = classes[0].ceil_bps, classes[0].burst_bytes
    common = f"ceil {ceil_bps}bit burst {burst}b cburst {burst}b quantum {plan.fabric.mtu + 14}"
    yield f"qdisc add {on} root handle 1: htb default 1"
    yield f"class add {on} parent 1: classid 1:{_ROOT:x} htb rate {ceil_bps}bit {common}"
    for item in classes:
        yield (
            f"class add {on} parent 1:{_ROOT:x} classid 1:{_minor(item.vl):x} htb "
            f"rate {item.rate_bps}bit {common} prio {item.priority}"
        )


def _leaf_lines(egress: Egress, lanes: LaneTable) -> Iterator[str]:
    for lane in lanes.lanes:
        # any handle but the root's will do
        yield (
            f"qdisc add dev {egress.device} parent 1:{_minor(lane.vl):x} "
            f"handle {_minor(lane.vl) + 1:x}: bfifo limit {LEAF_BYTES}"
        )


def _filter_lines(egress: Egress, lanes: LaneTable) -> Iterator[str]:
    for item in lanes.filters:
        yield (
            f"filter add dev {egress.device} parent 1: protocol {item.protocol} "
            f"prio {FIRST_FILTER + item.order} u32 "
            f"match u32 0x{item.value:08x} 0x{item.mask:08x} at 0 flowid 1:{_minor(item.vl):x}"
        )


def _bits(said: str) -> float:
    """bit/s of what tc prints: a number and bit, Kbit, Mbit or Gbit (powers of ten)."""
    found = _RATE.fullmatch(said)
    if found is None:
        raise ValueError(f"rate is {said!r}: tc should print a number and bit, Kbit, Mbit or Gbit")
    number, prefix = found.groups()
    return float(number) * {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}[prefix]


def _tc(lines: Iterable[str], pid: int | None, *options: str) -> str:
    return run(["tc", *options, "-batch", "-"], stdin="\n".join(lines), pid=pid)
