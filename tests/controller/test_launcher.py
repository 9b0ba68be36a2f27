"""Claims about the controller process, made against fake switches over loopback TCP."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ryu.ofproto import ofproto_v1_3 as ofp

from controller.marks import earlier_marks, first_mark
from controller.telemetry import read_samples
from plan.model import Plan, write_plan
from tests.controller.fabrics import make_fabric, make_plan
from tests.controller.fake_switch import FakeSwitch

pytestmark = pytest.mark.slow

# two edges, two aggregation switches and the management switch
FABRIC = make_fabric(prefill=1, decode=1, storage=1)
PLAN = make_plan(FABRIC)
TIMEOUT_S = 20


class Controller:
    """A controller process and the fake switches connected to it."""

    def __init__(self, directory: Path, plan: Plan, *options: str) -> None:
        self.telemetry = directory / "telemetry.jsonl"
        write_plan(plan, directory / "plan.json")
        self.address = _free_address()
        self.switches: dict[str, FakeSwitch] = {}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "controller.launcher"),
                *("--plan", str(directory / "plan.json")),
                *("--listen", "{}:{}".format(*self.address)),
                *("--telemetry", str(self.telemetry)),
                *("--interval", "0.02"),
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self) -> socket.socket:
        """A connection, as soon as the controller listens."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return socket.create_connection(self.address)
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise

    def connect(self, dpid: int, ports: list[int]) -> FakeSwitch:
        """A fake switch, as soon as the controller listens."""
        self.call().close()
        return FakeSwitch(self.address, dpid, ports)

    def connect_all(self, fabric: Any = FABRIC) -> dict[str, Any]:
        """Connect every switch of the fabric and return the ready event."""
        for switch in fabric.switches:
            ports = [nic.port for nic in fabric.nics if nic.switch == switch.name]
            ports += [link.a_port for link in fabric.links if link.a == switch.name]
            ports += [link.b_port for link in fabric.links if link.b == switch.name]
            self.switches[switch.name] = self.connect(switch.dpid, ports)
        return self.event("ready")

    def event(self, name: str) -> dict[str, Any]:
        """The next event of a name; others are passed over."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == name:
                return event
        raise AssertionError(f"the controller ended without {name!r}")

    def end(self) -> int:
        return self.process.wait(TIMEOUT_S)


def _free_address() -> tuple[str, int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        return host, port


Start = Callable[..., Controller]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Controller] = []

    def _start(*options: str, plan: Plan = PLAN) -> Controller:
        started.append(Controller(tmp_path, plan, *options))
        return started[-1]

    yield _start
    for controller in started:
        for switch in controller.switches.values():
            switch.close()
        controller.process.kill()
        with controller.process:
            pass


def test_every_switch_holds_its_pipeline_before_the_controller_is_ready(start: Start) -> None:
    controller = start()
    ready = controller.connect_all()
    assert ready["switches"] == len(FABRIC.switches)
    assert ready["unreachable"] == []
    held = 0
    for switch in controller.switches.values():
        assert switch.barriers == 1
        first, *added = switch.flow_mods
        assert (first.command, first.table_id) == (ofp.OFPFC_DELETE, ofp.OFPTT_ALL)
        assert {flow.command for flow in added} == {ofp.OFPFC_ADD}
        held += len(added)
    assert held == ready["flows"]


def test_a_flow_arrives_as_described(start: Start) -> None:
    controller = start()
    controller.connect_all()
    end = FABRIC.ends()["pe0.hbm0"]
    flows = controller.switches["ce0"].flow_mods
    (direct,) = [f for f in flows if dict(f.match.items()) == {"eth_dst": end.mac}]
    (action,) = direct.instructions[0].actions
    assert (direct.table_id, direct.priority, action.port) == (1, 1, 1)
    reflecting = {"eth_dst": end.mac, "in_port": 1}
    (reflect,) = [f for f in flows if dict(f.match.items()) == reflecting]
    (action,) = reflect.instructions[0].actions
    assert (reflect.priority, action.port) == (2, ofp.OFPP_IN_PORT)
    (kv,) = [f for f in flows if f.match.get("ip_dscp") == PLAN.lanes.dscp["kv"]]
    write, goto = kv.instructions
    assert write.type == ofp.OFPIT_WRITE_ACTIONS
    assert (write.actions[0].queue_id, goto.table_id) == (2, 1)


def test_counters_of_all_switches_are_sampled_to_the_file(start: Start) -> None:
    controller = start()
    controller.connect_all()
    deadline = time.monotonic() + TIMEOUT_S
    while controller.telemetry.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline
    first, second, *_ = read_samples(controller.telemetry, PLAN, 0.0)
    assert first.t_s < second.t_s
    nic = FABRIC.nics[0]
    out, into = first.nics[nic.name]
    assert into - out == pytest.approx(1000 * PLAN.scale.byte_scale / FABRIC.framing)
    egresses = len(FABRIC.nics) + 2 * len(FABRIC.links)
    assert {name: drops for name, (_, drops) in first.lanes.items()} == {
        lane.name: lane.vl * egresses for lane in PLAN.lanes.lanes
    }


def test_a_failed_link_is_routed_around_and_taken_back_when_it_returns(start: Start) -> None:
    controller = start()
    controller.connect_all()
    edge = controller.switches["ce0"]
    link = next(link for link in FABRIC.links if link.a == "ce0")
    before = len(edge.flow_mods)

    edge.set_port(link.a_port, down=True)
    port = controller.event("port")
    assert (port["link"], port["state"]) == (link.name, "down")
    rerouted = controller.event("rerouted")
    assert rerouted["unreachable"] == []
    moved = edge.flow_mods[before:]
    assert rerouted["flows_added"] >= len(moved) > 0
    assert all(flow.instructions[0].actions[0].port != link.a_port for flow in moved)

    edge.set_port(link.a_port, down=False)
    assert controller.event("port")["state"] == "up"
    restored = controller.event("rerouted")["flows_added"]
    assert restored == rerouted["flows_added"] + rerouted["flows_deleted"]
    back = edge.flow_mods[before + len(moved) :]
    assert {flow.instructions[0].actions[0].port for flow in back} == {link.a_port}


def test_a_nic_that_goes_down_is_reported_as_unreachable(start: Start) -> None:
    controller = start()
    controller.connect_all()
    nic = next(nic for nic in FABRIC.nics if nic.name == "pe0.cnic0")
    controller.switches[nic.switch].set_port(nic.port, down=True)
    unreachable = controller.event("rerouted")["unreachable"]
    assert ["ce1", "pe0.cnic0"] in unreachable
    assert {name for _, name in unreachable} == {"pe0.cnic0"}


def test_a_switch_that_comes_back_is_programmed_anew(start: Start) -> None:
    controller = start()
    controller.connect_all()
    edge = controller.switches.pop("ce0")
    edge.close()
    gone = controller.event("switch")
    assert (gone["switch"], gone["connected"]) == ("ce0", False)
    again = controller.switches["ce0"] = controller.connect(edge.dpid, edge.ports)
    again.wait_for_barriers(1)

    def flows(switch: FakeSwitch) -> set[str]:
        return {str(sorted(flow.match.items())) for flow in switch.flow_mods}

    assert flows(again) == flows(edge)


def test_what_a_switch_has_and_is_to_have_is_not_taken_from_it(start: Start) -> None:
    controller = start("--life", "3")
    for switch in FABRIC.switches[:-1]:
        controller.switches[switch.name] = controller.connect(switch.dpid, [])
    controller.event("switch")
    assert controller.switches["ce0"].flow_mods == []  # of others' ports it has not heard yet
    last = FABRIC.switches[-1]
    controller.switches[last.name] = controller.connect(last.dpid, [])
    controller.event("ready")
    told = controller.switches["ce0"].flow_mods
    added = [flow for flow in told if flow.command == ofp.OFPFC_ADD]
    deleted = told[len(added) :]
    assert {flow.cookie for flow in added} == {first_mark(3) + 1}
    assert [(flow.cookie, flow.cookie_mask) for flow in deleted] == earlier_marks(first_mark(3) + 1)


def test_a_later_controller_goes_on_with_the_samples(start: Start, tmp_path: Path) -> None:
    (tmp_path / "telemetry.jsonl").write_text('{"t":1.0}\n{"t":2.0,"por')
    controller = start("--life", "2")
    controller.connect_all()
    deadline = time.monotonic() + TIMEOUT_S
    while controller.telemetry.read_bytes().count(b"\n") < 2:
        assert time.monotonic() < deadline
    lines = controller.telemetry.read_bytes().splitlines()
    assert lines[0] == b'{"t":1.0}'
    assert json.loads(lines[1])["ports"]


def test_a_port_missing_from_the_switch_counts_as_down(start: Start) -> None:
    controller = start()
    for switch in FABRIC.switches:
        controller.switches[switch.name] = controller.connect(switch.dpid, [])
    cut = controller.event("ready")["unreachable"]
    assert {name for _, name in cut} == {nic.name for nic in FABRIC.nics}


def test_switches_that_went_before_they_were_spoken_to_are_no_error(start: Start) -> None:
    """They are let in as soon as the process lives, and do not wait for long."""
    controller = start()
    hello = struct.pack("!BBHI", ofp.OFP_VERSION, ofp.OFPT_HELLO, 8, 0)
    for said in (b"", hello):
        for lingering in ((0, 0), (1, 0)):
            caller = controller.call()
            caller.sendall(said)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", *lingering))
            caller.close()
    assert controller.connect_all()["switches"] == len(FABRIC.switches)


def test_an_exception_in_a_handler_ends_the_run(start: Start) -> None:
    controller = start()
    controller.switches["?"] = controller.connect(0xBAD, [1])
    assert "unknown switch with datapath id 0xbad" in controller.event("error")["message"]
    assert controller.end() == 1


def test_a_refused_flow_ends_the_run(start: Start) -> None:
    controller = start()
    controller.connect_all()
    controller.switches["ce1"].refuse(ofp.OFPET_FLOW_MOD_FAILED, ofp.OFPFMFC_TABLE_FULL)
    assert "switch ce1 refused" in controller.event("error")["message"]
    assert controller.end() == 1


def test_an_address_in_use_ends_the_run(start: Start) -> None:
    first = start()
    first.connect_all()
    second = start("--listen", "{}:{}".format(*first.address))
    assert "Address already in use" in second.event("error")["message"]
    assert second.end() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(start: Start, number: signal.Signals) -> None:
    controller = start()
    controller.connect_all()
    controller.process.send_signal(number)
    assert controller.end() == 0


def test_a_plan_that_is_none_is_an_error(start: Start) -> None:
    controller = start("--plan", "/dev/null")
    assert "truncated" in controller.event("error")["message"]
    assert controller.end() == 1
