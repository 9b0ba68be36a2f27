"""What a collective feels of KV-Cache traffic on its link, with lanes and without.

Bursts of 64 KiB cross a CNIC and its leaf while bulk transfers keep that link full. The
reference is the same burst on the idle link, taken in the same run.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

import pytest

from plan.fabric import End
from plan.lanes import TrafficClass
from plan.model import Plan
from tests.topology.plans import make_plan
from tests.topology.running import running
from topology import counters
from topology.namespace import entered
from topology.network import Network

pytestmark = [pytest.mark.network, pytest.mark.benchmark, pytest.mark.timeout(300)]

BURST_BYTES = 64 * 1024
BURSTS = 300
BULK_FLOWS = 4

BULK = """
import json, socket, sys, threading
role, address, bind, tos, flows = json.loads(sys.argv[1])
def send():
    s = socket.socket(); s.setsockopt(0, 1, tos); s.bind((bind, 0)); s.connect(tuple(address))
    while True: s.send(bytes(65536))
def receive(s):
    while s.recv(65536): pass
if role == "send":
    for _ in range(flows): threading.Thread(target=send).start()
else:
    l = socket.socket(); l.setsockopt(0, 1, tos); l.bind(tuple(address)); l.listen()
    print("listening", flush=True)
    while True: threading.Thread(target=receive, args=(l.accept()[0],)).start()
"""


def test_lanes_keep_kv_traffic_from_collectives(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    idle, on = measure(make_plan(k=8), tmp_path_factory.mktemp("on"))
    idle_off, off = measure(make_plan(k=8, lanes=False), tmp_path_factory.mktemp("off"))
    with capsys.disabled():
        print("\nlatency of 64 KiB collectives, ms (p50, p99), ratio to idle:")
        for title, found, reference in (
            ("idle", idle, idle),
            ("KV, lanes on", on, idle),
            ("KV, lanes off", off, idle_off),
        ):
            ratios = [f / r for f, r in zip(found, reference, strict=True)]
            print(
                f"  {title:14} {found[0] * 1e3:7.2f} {found[1] * 1e3:7.2f}"
                f"   x{ratios[0]:.2f} x{ratios[1]:.2f}"
            )
    # a KV frame that is already leaving can't be called back, and emulated frames are long
    assert on[0] <= 1.1 * idle[0]
    assert off[0] >= 3 * idle_off[0]


def measure(plan: Plan, directory: Path) -> tuple[tuple[float, float], tuple[float, float]]:
    """(p50, p99) of the bursts, wall seconds: on the idle link, then beside bulk KV."""
    with running(plan, directory) as network:
        idle = bursts(network, plan)
        with kv(network, plan):
            loaded = bursts(network, plan)
        assert set(counters.drops(network, plan).values()) == {0}
        assert set(counters.retransmits(network).values()) == {0}
    return idle, loaded


def bursts(network: Network, plan: Plan) -> tuple[float, float]:
    ends = plan.fabric.ends()
    chance = random.Random(1)
    sender, receiver = connection(network, plan, ends["pe0.hbm0"], ends["de0.hbm0"])
    took = []
    with sender, receiver:
        for _ in range(BURSTS):
            time.sleep(chance.uniform(0.005, 0.015))  # noqa: TID251  a pause
            start = time.monotonic()
            sender.sendall(bytes(BURST_BYTES))
            left = BURST_BYTES
            while left:
                left -= len(receiver.recv(left))
            took.append(time.monotonic() - start)
    percentiles = quantiles(took, n=100)
    return percentiles[49], percentiles[98]


@contextmanager
def kv(network: Network, plan: Plan) -> Iterator[None]:
    """Keep the way from the prefill node's CNIC to the decode node's full of KV-Cache."""
    ends = plan.fabric.ends()
    source, target = ends["pe0.dram0"], ends["de0.dram0"]
    address = (target.ip, 5000)

    def start(role: str, end: End, output: int | None) -> subprocess.Popen[bytes]:
        orders = json.dumps([role, address, source.ip, tos(plan, "kv"), BULK_FLOWS])
        return network.popen(end.host, [sys.executable, "-c", BULK, orders], stdout=output)

    receiver = start("receive", target, subprocess.PIPE)
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == b"listening\n"
    sender = start("send", source, None)
    time.sleep(1)  # noqa: TID251  until TCP is in full swing
    before = counters.egress_bytes(network, plan)["de0.cnic0"][1]
    began = time.monotonic()
    yield
    moved = counters.egress_bytes(network, plan)["de0.cnic0"][1] - before
    rate_bps = 8 * moved / plan.scale.model_s(time.monotonic() - began)
    sender.kill()
    receiver.kill()
    receiver.stdout.close()
    full_bps = next(nic.rate_bps for nic in plan.fabric.nics if nic.name == "de0.cnic0")
    assert rate_bps >= 0.95 * full_bps, "the link was not full, so nothing was measured"


def connection(
    network: Network, plan: Plan, source: End, target: End
) -> tuple[socket.socket, socket.socket]:
    with marked(network, plan, target) as listener:
        listener.bind((target.ip, 0))
        listener.listen(1)
        sender = marked(network, plan, source)
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender.bind((source.ip, 0))
        sender.connect(listener.getsockname())
        receiver, _ = listener.accept()
    return sender, receiver


def marked(network: Network, plan: Plan, end: End) -> socket.socket:
    with entered(network.namespace_pid(end.host)):
        made = socket.socket()
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos(plan, "collective"))
    return made


def tos(plan: Plan, traffic: TrafficClass) -> int:
    return plan.lanes.dscp[traffic] << 2
