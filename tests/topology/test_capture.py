"""Marks on the wire: what sockets of each class send is recorded and held against the queues."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import PcapReader

from controller.lanes import ACKNOWLEDGEMENT_BYTES
from plan.errors import RunError
from plan.fabric import End, Nic
from plan.lanes import TrafficClass
from plan.model import Plan
from tests.topology.plans import make_plan
from tests.topology.running import running
from topology import counters
from topology.capture import capturing
from topology.namespace import entered
from topology.network import Network

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]

CLASSES: tuple[TrafficClass, ...] = get_args(TrafficClass)
SIZES = {traffic: 40_000 * (i + 1) for i, traffic in enumerate(CLASSES)}
"""Bytes that go each way, different for every class so that none is taken for another."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(byte_scale=16000)


@pytest.fixture(scope="module")
def network(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running(plan, tmp_path_factory.mktemp("run")) as started:
        yield started


def nic_of(plan: Plan, name: str) -> Nic:
    return next(nic for nic in plan.fabric.nics if nic.name == name)


def exchange(network: Network, plan: Plan, source: End, target: End, traffic: TrafficClass) -> int:
    """Send the class's bytes both ways over one connection; returns the sender's port."""
    with entered(network.namespace_pid(target.host)):
        listener = socket.create_server((target.ip, 0))
    with entered(network.namespace_pid(source.host)):
        sender = socket.socket()
    with listener, sender:
        # only the side that connects marks; the other reflects the mark
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, plan.lanes.dscp[traffic] << 2)
        sender.bind((source.ip, 0))
        sender.settimeout(10)
        sender.connect(listener.getsockname())
        port: int = sender.getsockname()[1]
        receiver, _ = listener.accept()
        receiver.settimeout(10)
        with receiver:
            for one, other in ((sender, receiver), (receiver, sender)):
                one.sendall(bytes(SIZES[traffic]))
                one.shutdown(socket.SHUT_WR)
                while other.recv(65536):
                    pass
    return port


def size_of(frame: Packet) -> int:
    """Bytes on the wire; the file holds fewer."""
    assert frame.wirelen is not None
    return frame.wirelen


def frames(path: Path) -> Iterator[Packet]:
    with PcapReader(str(path)) as reader:
        yield from reader


def test_every_frame_carries_its_class_both_ways_and_takes_the_lanes_queue(
    network: Network, plan: Plan, tmp_path: Path
) -> None:
    ends = plan.fabric.ends()
    source, target = ends["pe0.dram0"], ends["de0.hbm0"]
    nic = nic_of(plan, "pe0.cnic0")
    own = {end.mac for end in nic.ends}
    by_name = {egress.name: egress for egress in plan.egresses}
    egresses = {True: by_name["pe0.cnic0 out"], False: by_name["pe0.cnic0 in"]}
    before = {way: counters.egress_lanes(network, plan, one) for way, one in egresses.items()}
    with capturing(nic.switch_device, tmp_path / "nic.pcap") as capture:
        ports = {exchange(network, plan, source, target, traffic): traffic for traffic in CLASSES}
    assert (capture.dropped, capture.full) == (0, False)
    names = {lane.vl: lane.name for lane in plan.lanes.lanes}
    sent: dict[bool, dict[str, int]] = {True: {}, False: {}}
    payload: dict[tuple[bool, TrafficClass], int] = {}
    for frame in frames(capture.path):
        outward = frame[Ether].src in own
        traffic = ports[frame[TCP].sport if outward else frame[TCP].dport]
        assert frame[IP].tos >> 2 == plan.lanes.dscp[traffic]
        vl = plan.lanes.vl["control" if frame[IP].len < ACKNOWLEDGEMENT_BYTES else traffic]
        sent[outward][names[vl]] = sent[outward].get(names[vl], 0) + size_of(frame)
        data = frame[IP].len - 4 * frame[IP].ihl - 4 * frame[TCP].dataofs
        payload[outward, traffic] = payload.get((outward, traffic), 0) + data
    assert payload == {(way, traffic): SIZES[traffic] for way in egresses for traffic in CLASSES}
    for way, one in egresses.items():
        after = counters.egress_lanes(network, plan, one)
        counted = {lane: n - before[way][lane] for lane, n in after.items()}
        assert {lane: n for lane, n in counted.items() if n} == sent[way]


def test_a_capture_ends_at_its_limit_and_says_so(
    network: Network, plan: Plan, tmp_path: Path
) -> None:
    ends = plan.fabric.ends()
    nic = nic_of(plan, "de0.snic")
    with capturing(nic.switch_device, tmp_path / "few.pcap", max_frames=5) as capture:
        exchange(network, plan, ends["st0.snic"], ends["de0.snic"], "storage")
    assert (capture.frames, capture.full) == (5, True)
    assert len(list(frames(capture.path))) == 5


def test_only_headers_are_kept(network: Network, plan: Plan, tmp_path: Path) -> None:
    ends = plan.fabric.ends()
    nic = nic_of(plan, "de0.snic")
    with capturing(nic.switch_device, tmp_path / "nic.pcap") as capture:
        exchange(network, plan, ends["st0.snic"], ends["de0.snic"], "storage")
    largest = max(map(size_of, frames(capture.path)))
    assert largest > 8000
    assert capture.path.stat().st_size < capture.frames * 120


def test_a_device_that_is_not_there_is_an_error(network: Network, tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match=r"could not record nowhere.*No such device"),
        capturing("nowhere", tmp_path / "no.pcap"),
    ):
        pass
