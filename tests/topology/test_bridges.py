"""Claims: which switch daemon has which bridges, and that frames pass between daemons."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.topology.plans import make_plan
from tests.topology.running import running
from tests.topology.test_network import transfer
from topology import counters, ovs
from topology.bridges import homes
from topology.namespace import run
from topology.network import Network

PLAN = make_plan(prefill=2)
"""Three CNICs: those of pe0 and de0 are at different edge switches."""
DIRECTORIES = [Path(f"/{number}") for number in range(40)]


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_every_bridge_has_one_daemon_and_no_daemon_has_none(count: int) -> None:
    shared = homes(PLAN.fabric, DIRECTORIES[:count]).values()
    names = [switch.name for switch in PLAN.fabric.switches]
    assert sorted(name for bridges in shared for name in bridges) == sorted(names)
    sizes = [len(bridges) for bridges in shared]
    assert len(sizes) == min(count, len(names))
    assert max(sizes) - min(sizes) <= 1


def test_bridges_that_follow_each_other_have_different_daemons() -> None:
    shared = homes(PLAN.fabric, DIRECTORIES[:2])
    of = {name: home for home, bridges in shared.items() for name in bridges}
    names = [switch.name for switch in PLAN.fabric.switches]
    assert all(of[one] != of[other] for one, other in pairwise(names))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running(PLAN, tmp_path_factory.mktemp("run"), daemons=2) as started:
        if started.daemons.datapath != "netdev":
            pytest.skip("the kernel forwards")
        yield started


@pytest.mark.network
def test_frames_pass_between_daemons_and_none_is_lost(network: Network) -> None:
    before = [_cpu_s(pid) for pid in network.daemons.vswitchd_pids]
    assert len(before) == 2
    ends = PLAN.fabric.ends()
    transfer(network, ends["pe0.hbm0"], ends["de0.hbm0"], 2_000_000)
    assert all(
        _cpu_s(pid) > then for pid, then in zip(network.daemons.vswitchd_pids, before, strict=True)
    )
    assert set(counters.drops(network, PLAN).values()) == {0}
    assert set(counters.retransmits(network).values()) == {0}


@pytest.mark.network
def test_every_daemon_s_packet_buffers_are_wide(network: Network) -> None:
    for pid in network.daemons.vswitchd_pids:
        sizes = []
        for packet_socket in ovs.packet_sockets(pid):
            with packet_socket:
                sizes.append(packet_socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
        assert min(sizes) >= ovs.PACKET_BUFFER_BYTES


@pytest.mark.network
def test_any_bridge_is_found_by_its_name(network: Network) -> None:
    for switch in network.fabric.switches:
        assert "table=0" in run(["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", switch.name])


def _cpu_s(pid: int) -> float:
    """Of the thread that forwards, to the nanosecond."""
    return float(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])
