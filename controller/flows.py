"""What the switches are told: OpenFlow tables as data, from routes and lanes.

Two tables. Table 0 classifies: DSCP -> queue (the virtual lane). Table 1 forwards: destination
MAC -> port. Both write to the action set, which a switch executes once at the end with the
queue before the output, so the queue is in effect when the frame leaves. That needs one flow
for each DSCP and one for each end instead of their product. What matches nothing is dropped:
there is no flooding and no learning.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

from plan.fabric import Fabric
from plan.lanes import LaneTable
from plan.routing import Routes

CLASSIFY, FORWARD = 0, 1
ETH_TYPE_IPV4 = 0x0800
MAX_GROUP_PORT = 31

Match = tuple[tuple[str, int | str], ...]


class SetQueue(msgspec.Struct, frozen=True):
    """Leave by this queue of the output port (the queue id is the lane's VL)."""

    queue: int


class Output(msgspec.Struct, frozen=True):
    """Leave by a port."""

    port: int


class Reflect(msgspec.Struct, frozen=True):
    """Leave by the port the frame came in on (OpenFlow's IN_PORT)."""


class Hash(msgspec.Struct, frozen=True):
    """Leave by one port of a select group, chosen by a hash of the flow (ECMP)."""

    group_id: int


Action = SetQueue | Output | Reflect | Hash


class Flow(msgspec.Struct, frozen=True):
    """One flow entry. `match` holds OpenFlow field names; `goto` is the next table."""

    table: int
    priority: int
    match: Match
    actions: tuple[Action, ...]
    goto: int | None = None

    @property
    def key(self) -> tuple[int, int, Match]:
        """What identifies the entry in a switch: adding one with an equal key replaces it."""
        return self.table, self.priority, self.match


class Group(msgspec.Struct, frozen=True):
    """A select group over ports. The id follows from the ports, so it never changes."""

    group_id: int
    ports: tuple[int, ...]


class Pipeline(msgspec.Struct, frozen=True):
    """Everything installed in one switch."""

    flows: frozenset[Flow] = frozenset()
    groups: frozenset[Group] = frozenset()


class Change(msgspec.Struct, frozen=True):
    """What turns one pipeline into another, to be applied in the order of the fields."""

    add_groups: tuple[Group, ...]
    add_flows: tuple[Flow, ...]
    delete_flows: tuple[Flow, ...]
    delete_groups: tuple[Group, ...]

    def __bool__(self) -> bool:
        return bool(self.add_groups or self.add_flows or self.delete_flows or self.delete_groups)


def pipelines(fabric: Fabric, lanes: LaneTable, routes: Routes) -> dict[str, Pipeline]:
    """The pipeline of every switch of the fabric, by the switch's name.

    Raises:
        ValueError: an ECMP port number above 31.
    """
    nics = {nic.name: nic for nic in fabric.nics}
    classify = _classify(lanes)
    flows: defaultdict[str, set[Flow]] = defaultdict(set)
    groups: defaultdict[str, set[Group]] = defaultdict(set)
    for route in routes.routes:
        output: Action = Output(route.ports[0])
        if len(route.ports) > 1:
            group = Group(_group_id(route.ports), route.ports)
            groups[route.switch].add(group)
            output = Hash(group.group_id)
        for end in nics[route.nic].ends:
            to_end = ("eth_dst", end.mac)
            flows[route.switch].add(Flow(FORWARD, 1, (to_end,), (output,)))
            if route.reflect:
                from_port = ("in_port", route.ports[0])
                flows[route.switch].add(Flow(FORWARD, 2, (from_port, to_end), (Reflect(),)))
    return {
        switch.name: Pipeline(
            frozenset(flows[switch.name] | classify), frozenset(groups[switch.name])
        )
        for switch in fabric.switches
    }


def difference(installed: Pipeline, wanted: Pipeline) -> Change:
    """The change from one pipeline to another; unchanged entries are not touched."""
    kept = {flow.key for flow in wanted.flows}
    return Change(
        add_groups=tuple(wanted.groups - installed.groups),
        add_flows=tuple(wanted.flows - installed.flows),
        delete_flows=tuple(flow for flow in installed.flows if flow.key not in kept),
        delete_groups=tuple(installed.groups - wanted.groups),
    )


def _classify(lanes: LaneTable) -> set[Flow]:
    """DSCP -> queue; unmarked traffic takes the last lane, to which no class is mapped."""
    if not lanes.enabled:
        return {Flow(CLASSIFY, 0, (), (), FORWARD)}
    unmarked = max(lane.vl for lane in lanes.lanes)
    flows = {Flow(CLASSIFY, 0, (), (SetQueue(unmarked),), FORWARD)}
    for traffic_class, dscp in lanes.dscp.items():
        match: Match = (("eth_type", ETH_TYPE_IPV4), ("ip_dscp", dscp))
        flows.add(Flow(CLASSIFY, 1, match, (SetQueue(lanes.vl[traffic_class]),), FORWARD))
    return flows


def _group_id(ports: tuple[int, ...]) -> int:
    if max(ports) > MAX_GROUP_PORT:
        raise ValueError(
            f"ECMP over port {max(ports)}: group ids have one bit for each port up to"
            f" {MAX_GROUP_PORT}; number the up-ports below that, or route without ECMP"
        )
    return sum(1 << (port - 1) for port in ports)
