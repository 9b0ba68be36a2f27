# Ryu ships no types, so its base class and decorators are untyped:
# mypy: disable-error-code="misc, untyped-decorator"
"""The Ryu application: carries pipelines to the switches and counters back (OpenFlow 1.3).

Everything it decides is decided by `routing` and `flows`; this module and the launcher are all
that knows Ryu.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

import msgspec
from eventlet.greenio import GreenSocket
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.controller import datapath_connection_factory
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.controller.ofp_handler import OFPHandler
from ryu.lib import hub
from ryu.ofproto import ofproto_v1_3

from controller.flows import (
    Action,
    Change,
    Flow,
    Output,
    Pipeline,
    Reflect,
    SetQueue,
    difference,
    pipelines,
)
from controller.marks import FIRST_EVER, earlier_marks, first_mark
from controller.telemetry import Round
from plan import events
from plan.errors import RunError
from plan.model import Plan
from plan.routing import Port, routes


@dataclass
class Settings:
    """What the application is started with.

    Attributes:
        emit: takes what befalls the fabric.
        life: of the controller, from 1: in a later one switches have flows, and go by them.
        telemetry: where sampling rounds are written; interval_s: wall seconds between rounds.
    """

    plan: Plan
    emit: Callable[[events.ControllerEvent], None]
    telemetry: TextIO
    interval_s: float
    life: int = 1


@dataclass
class Installation:
    """Changes under way: done, and its event told, when every barrier has been answered."""

    event: events.Rerouted | None = None
    barriers: set[tuple[str, int]] = field(default_factory=set)
    started_s: float = field(default_factory=time.monotonic)


class Reception(OFPHandler):
    """Ryu's half of the handshake, with switches that come by a socket that listens already."""

    def __init__(self, door: socket.socket) -> None:
        super().__init__()
        self._door = door

    def start(self) -> Any:
        """Begin to let switches in."""
        # the handler's own start would listen anew
        super(OFPHandler, self).start()
        return hub.spawn(self._receive)

    def _receive(self) -> None:
        door = GreenSocket(self._door)
        while True:
            hub.spawn(datapath_connection_factory, *door.accept())


class FabricApp(app_manager.RyuApp):
    """Installs the plan's pipelines, keeps them right when ports fail, samples counters."""

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        fabric = settings.plan.fabric
        self._names = {switch.dpid: switch.name for switch in fabric.switches}
        self._links = {(nic.switch, nic.port): nic.name for nic in fabric.nics}
        for link in fabric.links:
            self._links[link.a, link.a_port] = self._links[link.b, link.b_port] = link.name
        self._down: frozenset[Port] = frozenset()
        self._datapaths: dict[str, Any] = {}
        self._installed: dict[str, Pipeline] = {}
        self._installations: list[Installation] = []
        self._encoded: dict[tuple[Flow, int, int], bytes] = {}
        self._marks: dict[str, int] = {}
        self._ready = False
        self._round: Round | None = None
        self._route()

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def on_state(self, event: Any) -> None:
        """A switch finished its handshake, or is gone."""
        if event.state == MAIN_DISPATCHER:
            self._connected(event.datapath)
        else:
            self._disconnected(event.datapath)

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def on_port_status(self, event: Any) -> None:
        """A port came, went, or changed its state."""
        message = event.msg
        port = (self._names[message.datapath.id], message.desc.port_no)
        if port in self._links:
            gone = message.reason == ofproto_v1_3.OFPPR_DELETE
            self._set_down({port: gone or _is_down(message.desc)})

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def on_barrier(self, event: Any) -> None:
        """A switch has applied everything that was sent before the barrier."""
        answered = (self._names[event.msg.datapath.id], event.msg.xid)
        for installation in self._installations:
            installation.barriers.discard(answered)
        self._finish_installations()

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def on_error(self, event: Any) -> None:
        """A switch refused a message: the fabric is not as planned, so the run is void."""
        message = event.msg
        raise RunError(
            f"switch {self._names[message.datapath.id]} refused a message:"
            f" OpenFlow error type {message.type}, code {message.code}"
        )

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, MAIN_DISPATCHER)
    def on_port_stats(self, event: Any) -> None:
        """Port counters of one switch."""
        message = event.msg
        if self._round is not None:
            self._round.ports(
                self._names[message.datapath.id],
                (
                    (row.port_no, (row.rx_bytes, row.tx_bytes, row.rx_dropped, row.tx_dropped))
                    for row in message.body
                    if row.port_no <= ofproto_v1_3.OFPP_MAX
                ),
                last=not message.flags & ofproto_v1_3.OFPMPF_REPLY_MORE,
            )
            self._finish_round()

    @set_ev_cls(ofp_event.EventOFPQueueStatsReply, MAIN_DISPATCHER)
    def on_queue_stats(self, event: Any) -> None:
        """Queue counters of one switch."""
        message = event.msg
        if self._round is not None:
            self._round.queues(
                self._names[message.datapath.id],
                (
                    (row.port_no, row.queue_id, (row.tx_bytes, row.tx_errors))
                    for row in message.body
                    if row.port_no <= ofproto_v1_3.OFPP_MAX
                ),
                last=not message.flags & ofproto_v1_3.OFPMPF_REPLY_MORE,
            )
            self._finish_round()

    def _connected(self, datapath: Any) -> None:
        name = self._names.get(datapath.id)
        if name is None:
            raise RunError(
                f"unknown switch with datapath id {datapath.id:#x} connected; the plan has"
                f" {len(self._names)} switches, give each the dpid of the plan"
            )
        self._settings.emit(events.Switch(name, connected=True))
        self._datapaths[name] = datapath
        self._installed[name] = frozenset()
        self._marks[name] = self._marks.get(name, first_mark(self._settings.life)) + 1
        if self._marks[name] == FIRST_EVER:
            datapath.send_msg(_delete_everything(datapath))
        if not self._set_down(
            {
                port: port[1] not in datapath.ports or _is_down(datapath.ports[port[1]])
                for port in self._links
                if port[0] == name
            }
        ):
            self._install(None)

    def _disconnected(self, datapath: Any) -> None:
        name = self._names.get(datapath.id)
        if name is None or self._datapaths.get(name) is not datapath:
            return
        del self._datapaths[name]
        self._round = None
        self._settings.emit(events.Switch(name, connected=False))
        for installation in self._installations:
            installation.barriers = {b for b in installation.barriers if b[0] != name}
        self._finish_installations()

    def _set_down(self, states: dict[Port, bool]) -> bool:
        """Take over port states (True: down); route anew and return True if one changed."""
        changed = {port: down for port, down in states.items() if down != (port in self._down)}
        if not changed:
            return False
        for (switch, number), down in changed.items():
            link = self._links[switch, number]
            self._settings.emit(events.Port(switch, number, link, "down" if down else "up"))
        self._down = (self._down - changed.keys()) | {
            port for port, down in changed.items() if down
        }
        self._route()
        self._install(events.Rerouted(self._unreachable))
        return True

    def _route(self) -> None:
        plan = self._settings.plan
        found = routes(plan.fabric, self._down)
        self._wanted = pipelines(plan.fabric, plan.lanes, found)
        self._unreachable = found.unreachable

    def _install(self, event: events.Rerouted | None) -> None:
        """Send every connected switch what it lacks, and a barrier after it."""
        if self._settings.life > 1 and not (self._ready or self._all_connected()):
            return  # of ports that are down it has not heard yet
        installation = Installation()
        added = deleted = 0
        for name, datapath in self._datapaths.items():
            wanted = self._wanted[name]
            # every switch that connects comes by here, and so most of the time all others
            if self._installed[name] is wanted:
                continue
            change = difference(self._installed[name], wanted)
            self._installed[name] = wanted
            if change:
                added, deleted = added + len(change.add), deleted + len(change.delete)
                datapath.send(self._flow_mods(datapath, change, self._marks[name]))
                if len(change.add) == len(wanted):
                    for old in earlier_marks(self._marks[name]):
                        datapath.send_msg(_delete_marked(datapath, *old))
                barrier = datapath.ofproto_parser.OFPBarrierRequest(datapath)
                installation.barriers.add((name, datapath.set_xid(barrier)))
                datapath.send_msg(barrier)
        # the second port of a link to fail changes nothing any more, so there is nothing to tell
        if event is not None and installation.barriers:
            installation.event = msgspec.structs.replace(
                event, flows_added=added, flows_deleted=deleted
            )
        self._installations.append(installation)
        self._finish_installations()

    def _flow_mods(self, datapath: Any, change: Change, mark: int) -> bytes:
        """What is sent for a change; most switches share most flows, and Ryu is slow to encode."""
        ofp = datapath.ofproto
        wanted = [
            *((flow, ofp.OFPFC_ADD) for flow in change.add),
            *((flow, ofp.OFPFC_DELETE_STRICT) for flow in change.delete),
        ]
        for flow, command in wanted:
            if (flow, command, mark) not in self._encoded:
                message = _flow_mod(datapath, flow, command, mark)
                message.set_xid(0)
                message.serialize()
                self._encoded[flow, command, mark] = bytes(message.buf)
        return b"".join(self._encoded[flow, command, mark] for flow, command in wanted)

    def _finish_installations(self) -> None:
        for installation in [one for one in self._installations if not one.barriers]:
            self._installations.remove(installation)
            if installation.event is not None:
                elapsed_s = round(time.monotonic() - installation.started_s, 6)
                self._settings.emit(
                    msgspec.structs.replace(installation.event, elapsed_s=elapsed_s)
                )
        if not self._ready and not self._installations and self._all_connected():
            self._ready = True
            flows = sum(map(len, self._installed.values()))
            self._settings.emit(events.Installed(len(self._datapaths), flows, self._unreachable))
            self.threads.append(hub.spawn(self._sample))

    def _all_connected(self) -> bool:
        return len(self._datapaths) == len(self._names)

    def _sample(self) -> None:
        """Start a round at every multiple of the interval at which none is under way."""
        next_s = time.monotonic()
        while True:
            if self._round is None and self._all_connected():
                self._round = Round(self._datapaths)
                for datapath in list(self._datapaths.values()):
                    _request_counters(datapath)
            now_s = time.monotonic()
            while next_s <= now_s:
                next_s += self._settings.interval_s
            hub.sleep(next_s - now_s)

    def _finish_round(self) -> None:
        if self._round is not None and self._round.done:
            self._round.write(self._settings.telemetry, time.monotonic())
            self._round = None


def _is_down(port: Any) -> bool:
    return bool(
        port.state & ofproto_v1_3.OFPPS_LINK_DOWN or port.config & ofproto_v1_3.OFPPC_PORT_DOWN
    )


def _request_counters(datapath: Any) -> None:
    parser = datapath.ofproto_parser
    everything = ofproto_v1_3.OFPP_ANY
    datapath.send_msg(parser.OFPPortStatsRequest(datapath, 0, everything))
    datapath.send_msg(parser.OFPQueueStatsRequest(datapath, 0, everything, ofproto_v1_3.OFPQ_ALL))


def _delete_everything(datapath: Any) -> Any:
    ofp, parser = datapath.ofproto, datapath.ofproto_parser
    return parser.OFPFlowMod(
        datapath,
        table_id=ofp.OFPTT_ALL,
        command=ofp.OFPFC_DELETE,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
    )


def _delete_marked(datapath: Any, mark: int, mask: int) -> Any:
    message = _delete_everything(datapath)
    message.cookie, message.cookie_mask = mark, mask
    return message


def _flow_mod(datapath: Any, flow: Flow, command: int, mark: int) -> Any:
    ofp, parser = datapath.ofproto, datapath.ofproto_parser
    instructions = []
    if flow.actions:
        actions = [_action(datapath, action) for action in flow.actions]
        instructions.append(parser.OFPInstructionActions(ofp.OFPIT_WRITE_ACTIONS, actions))
    if flow.goto is not None:
        instructions.append(parser.OFPInstructionGotoTable(flow.goto))
    return parser.OFPFlowMod(
        datapath,
        cookie=mark,
        table_id=flow.table,
        command=command,
        priority=flow.priority,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=parser.OFPMatch(**dict(flow.match)),
        instructions=instructions,
    )


def _action(datapath: Any, action: Action) -> Any:
    parser = datapath.ofproto_parser
    match action:
        case SetQueue(queue):
            return parser.OFPActionSetQueue(queue)
        case Output(port):
            return parser.OFPActionOutput(port)
        case Reflect():
            return parser.OFPActionOutput(ofproto_v1_3.OFPP_IN_PORT)
