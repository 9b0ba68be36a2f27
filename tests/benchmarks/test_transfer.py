"""The nodes' data path against iperf3: the same link, the same lane, the same run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import msgspec
import pytest

from plan.deployment import BlockLayout
from plan.model import Plan
from scenarios.running.node_processes import ONE_THREAD
from tests.benchmarks.transfer_end import SOURCE, TARGET
from tests.topology.plans import make_plan
from tests.topology.running import running
from topology import counters
from topology.network import Network
from topology.priority import Rank, prefer

pytestmark = [
    pytest.mark.network,
    pytest.mark.benchmark,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3: apt-get install iperf3"),
]

LAYOUT = BlockLayout(tokens=64, groups=6, wire_bytes=112)
"""Blocks of the quickstart: six groups of the layers of DS 27B."""
MESSAGES = {"34 kB, a layer group of 20 K tokens": 300, "7 kB, of 4 K tokens": 64}
"""Layer Blocks a transfer."""
SECONDS = 6


class Cost(NamedTuple):
    """Goodput, and CPU time of both ends for it."""

    rate_bps: float
    cpu_s_per_gb: float


WANTED = {4000.0: 0.95, 2000.0: 0.95, 1000.0: 0.75}
"""Share of iperf3's goodput by byte scale: CNICs of 100, 200 (the quickstart's) and 400 Mbit/s.
At the last an interpreter is woken 6000 times a second for short messages, and needs its
processor at once each time."""


@pytest.fixture(scope="module", params=WANTED, ids=["100M", "200M", "400M"])
def plan(request: pytest.FixtureRequest) -> Plan:
    """A CNIC is 100, 200 or 400 Mbit/s on the wire."""
    plan = make_plan(k=8, byte_scale=request.param)
    return msgspec.structs.replace(plan, layout=LAYOUT)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def network(plan: Plan, directory: Path) -> Iterator[Network]:
    with running(plan, directory) as started:
        yield started


@pytest.fixture(scope="module")
def reference(network: Network, plan: Plan) -> Cost:
    return iperf3(network, plan)


@pytest.mark.parametrize("title", MESSAGES)
def test_goodput_is_that_of_iperf3(
    network: Network,
    plan: Plan,
    directory: Path,
    reference: Cost,
    title: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = verbs(network, directory / "plan.json", MESSAGES[title])
    goodput = ours.rate_bps / reference.rate_bps
    cpu = ours.cpu_s_per_gb / reference.cpu_s_per_gb
    with capsys.disabled():
        print(
            f"\nmessages of {title}: {ours.rate_bps / 1e6:.1f} Mbit/s, {goodput:.3f} of iperf3's;"
            f" {ours.cpu_s_per_gb:.2f} CPU s/GB at both ends, {cpu:.1f} times iperf3's"
        )
    assert goodput >= WANTED[plan.scale.byte_scale]
    assert set(counters.drops(network, plan).values()) == {0}
    assert set(counters.retransmits(network).values()) == {0}


def verbs(network: Network, plan: Path, rows: int) -> Cost:
    """One-sided writes from a prefill GPU's memory to the decode node's."""

    def start(node: str, *options: str) -> subprocess.Popen[bytes]:
        pid = str(network.namespace_pid(f"{node}g0"))
        command = [sys.executable, "-m", "tests.benchmarks.transfer_end", str(plan), node, pid]
        pipe = subprocess.PIPE
        environment = {**os.environ, **ONE_THREAD}
        process = network.popen(
            node, [*command, *options], stdin=pipe, stdout=pipe, env=environment
        )
        prefer(process.pid, Rank.NODE)
        assert line(process) == {"ready": True}
        return process

    with start("de0") as receiver, start("pe0", "--rows", str(rows)) as sender:
        sent = line(sender)
        assert receiver.stdin is not None
        receiver.stdin.close()
        cpu_s = sent["cpu_s"] + line(receiver)["cpu_s"]
    return Cost(sent["rate_bps"], cpu_s / (sent["bytes"] / 1e9))


def line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def iperf3(network: Network, plan: Plan) -> Cost:
    """One stream between the same two ends in the KV lane."""
    source, target = (plan.fabric.ends()[name] for name in (SOURCE, TARGET))
    pipe = subprocess.PIPE
    listen = ["iperf3", "-s", "-1", "-B", target.ip, "--forceflush"]
    with network.popen(target.host, listen, stdout=pipe) as server:
        prefer(server.pid, Rank.NODE)
        assert server.stdout is not None
        while b"listening" not in server.stdout.readline():
            pass
        client = network.popen(
            source.host,
            [
                *("iperf3", "-c", target.ip, "-B", source.ip, "-t", str(SECONDS), "-J"),
                *("-S", str(plan.lanes.dscp["kv"] << 2)),
            ],
            stdout=pipe,
        )
        prefer(client.pid, Rank.NODE)
        said, _ = client.communicate()
    result = json.loads(said)
    # the first second fills the socket's buffer, then as much goes in as comes out
    steady = result["intervals"][1:]
    cpu = result["end"]["cpu_utilization_percent"]
    cpu_s = (cpu["host_total"] + cpu["remote_total"]) / 100 * result["end"]["sum_sent"]["seconds"]
    return Cost(
        mean(interval["sum"]["bits_per_second"] for interval in steady),
        cpu_s / (result["end"]["sum_sent"]["bytes"] / 1e9),
    )
