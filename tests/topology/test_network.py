"""Claims about a running fabric: two nodes of two GPUs, lanes on, the real controller."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plan.fabric import End
from plan.model import Plan
from tests.topology.plans import make_plan
from tests.topology.running import running
from topology import counters, ovs, probe, shaping
from topology.namespace import entered, run
from topology.network import Network

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def plan() -> Plan:
    # slow enough that a busy machine forwards all of it
    return make_plan(gpus_per_node=2, byte_scale=16000)


@pytest.fixture(scope="module")
def network(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running(plan, tmp_path_factory.mktemp("run")) as started:
        yield started


def connection(network: Network, source: End, target: End) -> tuple[socket.socket, socket.socket]:
    with entered(network.namespace_pid(target.host)), socket.socket() as listener:
        listener.bind((target.ip, 0))
        listener.listen(1)
        with entered(network.namespace_pid(source.host)):
            sender = socket.socket()
        sender.settimeout(5)
        sender.bind((source.ip, 0))
        sender.connect(listener.getsockname())
        receiver, _ = listener.accept()
    return sender, receiver


def transfer(network: Network, source: End, target: End, size: int) -> None:
    sender, receiver = connection(network, source, target)
    with sender, receiver:
        left = size
        while left:
            sent = sender.send(bytes(min(left, 65536)))
            left -= sent
            while sent:
                sent -= len(receiver.recv(sent))


def test_what_the_kernel_reports_is_what_was_planned(network: Network, plan: Plan) -> None:
    assert shaping.read_back(network, plan) == []


def test_a_changed_rate_a_lost_filter_and_a_lost_leaf_are_all_reported(
    network: Network, plan: Plan
) -> None:
    pid = network.namespace_pid("de0")
    change = "tc class change dev de0-snic parent 1:fffe classid 1:3 htb rate 1mbit ceil 2mbit"
    run(change.split(), pid=pid)
    run(["tc", "filter", "del", "dev", "de0-snic", "parent", "1:", "prio", "4"], pid=pid)
    run(["tc", "qdisc", "del", "dev", "de0-snic", "parent", "1:1"], pid=pid)
    try:
        said = "\n".join(shaping.read_back(network, plan))
        assert "de0-snic: class 1:3 has rate 1000000 bit/s" in said
        assert "de0-snic: class 1:3 has ceil 2000000 bit/s" in said
        assert "de0-snic: filter 0x0/0x0 to class 1:4 is missing" in said
        assert "de0-snic: class 1:1 has no byte FIFO" in said
    finally:
        run(["tc", "qdisc", "del", "dev", "de0-snic", "root"], pid=pid)
        egress = next(egress for egress in plan.egresses if egress.device == "de0-snic")
        shaping.shape_host(network, plan, egress)
    assert shaping.read_back(network, plan) == []


def test_every_nic_carries_its_nominal_rate_and_nothing_is_lost(
    network: Network, plan: Plan
) -> None:
    ratios = probe.probe_rates(network, plan)
    assert set(ratios) == {nic.name for nic in plan.fabric.nics}
    assert all(ratio == pytest.approx(1, abs=0.1) for ratio in ratios.values()), ratios
    assert set(counters.drops(network, plan).values()) == {0}
    assert set(counters.retransmits(network).values()) == {0}


def test_a_local_copy_crosses_its_own_cnic_once_each_way_and_no_link(
    network: Network, plan: Plan
) -> None:
    ends = plan.fabric.ends()
    before = counters.egress_bytes(network, plan)
    links = {link.a_device for link in plan.fabric.links}
    links |= {link.b_device for link in plan.fabric.links}
    link_bytes = sum(counters.device_bytes(None)[device] for device in links)
    size = 2_000_000
    transfer(network, ends["pe0.dram1"], ends["pe0.hbm1"], size)
    after = counters.egress_bytes(network, plan)
    moved = {
        name: [
            (b - a) / plan.scale.model_bytes(size) for a, b in zip(before[name], now, strict=True)
        ]
        for name, now in after.items()
    }
    assert moved.pop("pe0.cnic1") == [pytest.approx(1, rel=0.05)] * 2
    # not exactly nothing: connections of an earlier test may still be closing
    assert max(share for shares in moved.values() for share in shares) < 0.01
    assert sum(counters.device_bytes(None)[device] for device in links) - link_bytes < 0.01 * size


def test_the_names_of_ends_are_host_names(network: Network, plan: Plan) -> None:
    for name, end in plan.fabric.ends().items():
        assert socket.gethostbyname(name) == end.ip


def test_a_socket_that_chose_no_dram_end_has_no_route(network: Network, plan: Plan) -> None:
    target = plan.fabric.ends()["de0.hbm0"]
    with (
        entered(network.namespace_pid("pe0")),
        socket.socket() as unbound,
        pytest.raises(OSError, match="unreachable"),
    ):
        unbound.connect((target.ip, 1))


def test_frames_leave_whole_so_that_queues_see_single_frames(network: Network, plan: Plan) -> None:
    pid = network.namespace_pid("pe0")
    ends = plan.fabric.ends()
    path = Path(f"/proc/{pid}/net/dev")

    def sent() -> tuple[int, int]:
        line = next(x for x in path.read_text().splitlines() if "pe0-snic:" in x).split()
        return int(line[9]), int(line[10])

    before = sent()
    transfer(network, ends["pe0.snic"], ends["de0.snic"], 2_000_000)
    size, frames = (now - then for then, now in zip(before, sent(), strict=True))
    assert size / frames <= plan.fabric.mtu + 14


def test_the_switch_daemons_packet_buffers_are_wide(network: Network) -> None:
    if network.daemons.datapath != "netdev":
        pytest.skip("the kernel datapath has no packet sockets")
    sizes = []
    for packet_socket in ovs.packet_sockets(network.daemons.vswitchd_pids[0]):
        with packet_socket:
            sizes.append(packet_socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
    assert min(sizes) >= ovs.PACKET_BUFFER_BYTES


def test_a_process_runs_in_its_hosts_namespace_and_ends_with_the_network(network: Network) -> None:
    said = network.popen(
        "pe0g1", ["ip", "-br", "link", "show", "pe0-hbm1"], stdout=subprocess.PIPE
    ).communicate()[0]
    assert said.startswith(b"pe0-hbm1")
