"""What is done to a running fabric takes, adds up, is read back, and is taken back whole."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from plan.errors import RunError
from plan.model import Plan
from tests.topology.plans import make_plan
from tests.topology.running import running
from topology import counters, injuries, probe, shaping
from topology.injuries import Injuries, lottery
from topology.namespace import run
from topology.network import Network

TRIES = 10


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(gpus_per_node=1, byte_scale=16000)


@pytest.fixture(scope="module")
def network(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running(plan, tmp_path_factory.mktemp("run"), lossless=False) as started:
        yield started


@pytest.fixture
def hurt(network: Network, plan: Plan) -> Iterator[Injuries]:
    yield Injuries(network, plan)
    assert shaping.read_back(network, plan) == []


def up(device: str) -> bool:
    [shown] = json.loads(run(["ip", "-j", "link", "show", "dev", device]))
    return "UP" in shown["flags"]


def storage_rate(network: Network, plan: Plan) -> float:
    """Of what pe0's SNIC is owed by the storage host, the share that arrives in half a second."""
    [pair] = [pair for pair in probe.storage_fan(plan) if pair.target.name == "pe0.snic"]
    measured = probe.measure(network, plan, [pair], 0.5)
    return measured.arrived_bps[pair] / pair.rate_bps


@pytest.mark.network
def test_a_port_is_up_again_when_all_that_took_it_down_is_over(
    network: Network, plan: Plan, hurt: Injuries
) -> None:
    device = plan.fabric.links[0].a_device
    hurt.cut([device])
    hurt.cut([device])
    assert not up(device)
    hurt.mend([device])
    assert not up(device)
    hurt.mend([device])
    assert up(device)


@pytest.mark.network
def test_every_class_of_a_slow_egress_is_slow_and_then_as_before(
    network: Network, plan: Plan, hurt: Injuries
) -> None:
    hurt.slow("pe0.snic in", 0.5)
    hurt.slow("pe0.snic in", 0.5)
    try:
        assert storage_rate(network, plan) == pytest.approx(0.25, rel=0.1)
    finally:
        hurt.quicken("pe0.snic in", 0.5)
        hurt.quicken("pe0.snic in", 0.5)
    assert storage_rate(network, plan) == pytest.approx(1, rel=0.1)


@pytest.mark.network
def test_frames_are_lost_in_their_share_and_counted(
    network: Network, plan: Plan, hurt: Injuries
) -> None:
    before, lost, again = sum(counters.retransmits(network).values()), 0, 0
    hurt.lose("pe0.snic in", 0.02)
    try:
        for _ in range(TRIES):  # a moment may be without a loss, or end with one
            storage_rate(network, plan)
            lost = hurt.lost("pe0.snic in")
            again = sum(counters.retransmits(network).values()) - before
            if lost and again:
                break
    finally:
        assert hurt.keep("pe0.snic in", 0.02) >= lost
    assert lost > 0
    assert again > 0
    assert set(counters.drops(network, plan).values()) == {0}


@pytest.mark.network
def test_what_did_not_take_is_an_error(
    network: Network, plan: Plan, hurt: Injuries, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(injuries, "set_rates", lambda *_: None)
        with pytest.raises(RunError, match=r"pe0-snic may send .* was to send"):
            hurt.slow("pe0.snic out", 0.5)
    hurt.quicken("pe0.snic out", 0.5)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 1.0])
def test_the_lottery_draws_its_share(share: float) -> None:
    count, *steps = lottery(share).split(",")
    assert int(count) == len(steps) == 4
    load, compare, drawn, spared = (tuple(map(int, step.split())) for step in steps)
    assert (load[0], load[3]) == (0x20, 0xFFFFF038)
    dice = random.Random(1)
    words = [dice.getrandbits(32) for _ in range(20_000)]
    # 0x35: to the first return below the limit, over it from the limit on
    taken = [(drawn, spared)[compare[1] if word >= compare[3] else compare[2]] for word in words]
    assert sum(end[3] > 0 for end in taken) / len(words) == pytest.approx(share, abs=0.01)
