"""A real fabric under the real controller: builds it, uses it, and reports what it saw."""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controller import qos
from controller.telemetry import read_samples
from plan.errors import RunError
from plan.fabric import End
from plan.lanes import TrafficClass
from plan.model import Plan, write_plan
from plan.records import CounterSample
from plan.routing import routes
from tests.controller.fabrics import make_fabric, make_plan
from topology import ovs, shaping
from topology.namespace import entered
from topology.network import Network

PORT = 6653
TIMEOUT_S = 20.0
SIZE_BYTES = 400_000


@dataclass
class Report:
    """What the run saw; bytes are model bytes of payload."""

    sent_bytes: float = 0.0
    pairs: int = 0
    cut: list[tuple[str, str]] = field(default_factory=list)
    lanes: dict[str, dict[str, float]] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)
    reflected_nic: tuple[float, float] = (0.0, 0.0)
    reflected_elsewhere: float = 0.0
    cut_after_failure: list[tuple[str, str]] = field(default_factory=list)
    reroute: dict[str, object] = field(default_factory=dict)
    reroute_s: float = 0.0
    failed_link_bytes: float = 0.0
    cut_after_repair: list[tuple[str, str]] = field(default_factory=list)
    stray_queue_error: str = ""


class Controller:
    """The controller process and its events."""

    def __init__(self, plan_path: Path, telemetry: Path) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "controller.launcher", "--plan", str(plan_path)),
                *("--listen", f"127.0.0.1:{PORT}", "--telemetry", str(telemetry)),
                *("--interval", "0.1"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def event(self, name: str) -> dict[str, object]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, object] = json.loads(line)
            if event["event"] == name:
                return event
            assert event["event"] != "error", event
        raise AssertionError(f"the controller ended without {name!r}")


class Traffic:
    """Sockets in the namespaces of the ends: every end listens."""

    def __init__(self, network: Network, plan: Plan) -> None:
        self.network = network
        self.plan = plan
        self.ends = plan.fabric.ends()
        self.plane = {name: nic.plane for name, nic in plan.fabric.nic_of_end().items()}
        self.listeners = {name: self._listen(end) for name, end in self.ends.items()}

    def close(self) -> None:
        for listener in self.listeners.values():
            listener.close()

    def pairs(self) -> list[tuple[str, str]]:
        """All ordered pairs of ends of one plane that are in different namespaces."""
        return [
            (a, b)
            for a in self.ends
            for b in self.ends
            if self.plane[a] == self.plane[b] and self.ends[a].host != self.ends[b].host
        ]

    def cut(self) -> list[tuple[str, str]]:
        """Pairs between which no connection comes about, of all tried at once."""
        waiting: dict[socket.socket, tuple[str, str]] = {}
        deadline = time.monotonic() + TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            for a, b in self.pairs():
                caller = self._socket(a)
                caller.setblocking(False)
                caller.connect_ex((self.ends[b].ip, PORT))
                waiting[caller] = (a, b)
                selector.register(caller, selectors.EVENT_WRITE)
            while waiting and time.monotonic() < deadline:
                for key, _ in selector.select(deadline - time.monotonic()):
                    caller = key.fileobj  # type: ignore[assignment]  # only sockets here
                    if caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                        waiting.pop(caller)
                    selector.unregister(caller)
                    caller.close()
        for caller in waiting:
            caller.close()
        return list(waiting.values())

    def send(self, source: str, target: str, traffic_class: TrafficClass) -> None:
        """Send SIZE_BYTES and wait until the target has all of them."""
        with self._socket(source) as sender:
            tos = self.plan.lanes.dscp[traffic_class] << 2
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
            sender.settimeout(TIMEOUT_S)
            sender.connect((self.ends[target].ip, PORT))
            receiver = self._accept(target, sender.getsockname())
            with receiver:
                left = SIZE_BYTES
                while left:
                    sent = sender.send(bytes(min(left, 50_000)))
                    left -= sent
                    while sent:
                        sent -= len(receiver.recv(sent))

    def _accept(self, end: str, caller: tuple[str, int]) -> socket.socket:
        """The connection of one caller; older ones of `cut` may be in the queue before it."""
        while True:
            receiver, peer = self.listeners[end].accept()
            if peer == caller:
                receiver.settimeout(TIMEOUT_S)
                return receiver
            receiver.close()

    def _listen(self, end: End) -> socket.socket:
        listener = self._socket(end.name, PORT)
        listener.listen(4096)
        return listener

    def _socket(self, end: str, port: int = 0) -> socket.socket:
        with entered(self.network.namespace_pid(self.ends[end].host)):
            made = socket.socket()
        made.bind((self.ends[end].ip, port))
        return made


class Counters:
    """The telemetry file, read as it grows."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self.plan = plan

    def now(self) -> CounterSample:
        """A sample whose counters were all read after this call."""
        lines = self.path.read_bytes().count(b"\n")
        deadline = time.monotonic() + TIMEOUT_S
        # the next round may be under way already, the one after it is not
        while self.path.read_bytes().count(b"\n") < lines + 2:
            assert time.monotonic() < deadline, "no telemetry"
            time.sleep(0.02)  # noqa: TID251  between two looks
        return read_samples(self.path, self.plan, 0.0)[-1]


@contextmanager
def running(directory: Path, plan: Plan) -> Iterator[tuple[Network, Controller]]:
    write_plan(plan, directory / "plan.json")
    controller = Controller(directory / "plan.json", directory / "telemetry.jsonl")
    try:
        with ovs.daemons() as daemons, Network(plan.fabric, daemons, PORT) as network:
            qos.install(plan, network.databases)
            shaping.finish_switch_ports(network, plan)
            shaping.shape_hosts(network, plan)
            controller.event("ready")
            yield network, controller
    finally:
        controller.process.kill()
        with controller.process:  # closes its pipe
            pass


def run(directory: Path) -> Report:
    # 400 Gbit/s are 200 Mbit/s on the wire
    plan = make_plan(make_fabric(storage=1), byte_scale=1000.0)
    report = Report(sent_bytes=plan.scale.model_bytes(SIZE_BYTES))
    with (
        running(directory, plan) as (network, controller),
        closing(Traffic(network, plan)) as traffic,
    ):
        counters = Counters(directory / "telemetry.jsonl", plan)
        report.pairs = len(traffic.pairs())
        report.cut = traffic.cut()
        _see_lanes(report, plan, traffic, counters)
        _see_reflection(report, traffic, counters)
        _see_failure(report, plan, network, controller, traffic, counters)
        report.stray_queue_error = _queue_error(plan)
    return report


def _see_lanes(report: Report, plan: Plan, traffic: Traffic, counters: Counters) -> None:
    before = counters.now()
    for traffic_class in plan.lanes.dscp:
        traffic.send("pe0.hbm0", "de0.hbm0", traffic_class)
        after = counters.now()
        report.lanes[traffic_class] = {
            lane: sent - before.lanes[lane][0] for lane, (sent, _) in after.lanes.items()
        }
        report.drops = {lane: drops for lane, (_, drops) in after.lanes.items()}
        before = after


def _see_reflection(report: Report, traffic: Traffic, counters: Counters) -> None:
    before = counters.now()
    traffic.send("pe0.dram0", "pe0.hbm0", "kv")
    after = counters.now()
    moved = {
        name: (out - before.nics[name][0], into - before.nics[name][1])
        for name, (out, into) in after.nics.items()
    }
    report.reflected_nic = moved.pop("pe0.cnic0")
    report.reflected_elsewhere = sum(map(sum, moved.values())) + sum(
        sum(after.links[name]) - sum(before.links[name]) for name in after.links
    )


def _see_failure(
    report: Report,
    plan: Plan,
    network: Network,
    controller: Controller,
    traffic: Traffic,
    counters: Counters,
) -> None:
    fabric = plan.fabric
    target = next(nic for nic in fabric.nics if nic.name == "de1.cnic1")
    up_port = next(
        route.port
        for route in routes(fabric).routes
        if (route.switch, route.nic) == ("ce0", target.name)
    )
    link = next(link for link in fabric.links if (link.a, link.a_port) == ("ce0", up_port))
    started_s = time.monotonic()
    network.set_link(link, up=False)
    report.reroute = controller.event("rerouted")
    report.reroute_s = time.monotonic() - started_s
    before = counters.now()
    report.cut_after_failure = traffic.cut()
    traffic.send("pe0.hbm0", "de1.hbm1", "kv")
    after = counters.now()
    report.failed_link_bytes = sum(after.links[link.name]) - sum(before.links[link.name])
    network.set_link(link, up=True)
    controller.event("rerouted")
    report.cut_after_repair = traffic.cut()


DATABASE = "unix:/var/run/openvswitch/db.sock"


def _queue_error(plan: Plan) -> str:
    """What the read-back says of a port that lost its queues."""
    ovs.vsctl("clear", "Port", plan.fabric.nics[0].switch_device, "qos")
    bridges = [switch.name for switch in plan.fabric.switches]
    try:
        qos.verify(qos.wanted_qos(plan), qos.installed(DATABASE, bridges))
    except RunError as error:
        return str(error)
    return ""
