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

Match = tuple[tuple[str, int | str], ...]


class SetQueue(msgspec.Struct, frozen=True):
    """Leave by this queue of the output port (the queue id is the lane's VL)."""

    queue: int


class Output(msgspec.Struct, frozen=True):
    """Leave by a port."""

    port: int


class Reflect(msgspec.Struct, frozen=True):
    """Leave by the port the frame came in on (OpenFlow's IN_PORT)."""


Action = SetQueue | Output | Reflect


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


Pipeline = frozenset[Flow]
"""Everything installed in one switch."""


class Change(msgspec.Struct, frozen=True):
    """What turns one pipeline into another, to be applied in the order of the fields."""

    add: tuple[Flow, ...]
    delete: tuple[Flow, ...]

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


def pipelines(fabric: Fabric, lanes: LaneTable, routes: Routes) -> dict[str, Pipeline]:
    """The pipeline of every switch of the fabric, by the switch's name."""
    nics = {nic.name: nic for nic in fabric.nics}
    classify = _classify(lanes)
    flows: defaultdict[str, set[Flow]] = defaultdict(set)
    for route in routes.routes:
        output = Output(route.port)
        for end in nics[route.nic].ends:
            to_end = ("eth_dst", end.mac)
            flows[route.switch].add(Flow(FORWARD, 1, (to_end,), (output,)))
            if route.reflect:
                from_port = ("in_port", route.port)
                flows[route.switch].add(Flow(FORWARD, 2, (from_port, to_end), (Reflect(),)))
    return {s.name: frozenset(flows[s.name] | classify) for s in fabric.switches}


def difference(installed: Pipeline, wanted: Pipeline) -> Change:
    """The change from one pipeline to another; unchanged entries are not touched."""
    kept = {flow.key for flow in wanted}
    return Change(
        add=tuple(wanted - installed),
        delete=tuple(flow for flow in installed if flow.key not in kept),
    )


def _classify(lanes: LaneTable) -> set[Flow]:
    """DSCP -> queue; unmarked traffic takes the last lane, to which no class is mapped."""
    if not lanes.enabled:
        return {Flow(CLASSIFY, 0, (), (), FORWARD)}
    flows = {Flow(CLASSIFY, 0, (), (SetQueue(lanes.unmarked_vl),), FORWARD)}
    for traffic_class, dscp in lanes.dscp.items():
        match: Match = (("eth_type", ETH_TYPE_IPV4), ("ip_dscp", dscp))
        flows.add(Flow(CLASSIFY, 1, match, (SetQueue(lanes.vl[traffic_class]),), FORWARD))
    return flows
