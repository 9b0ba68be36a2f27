"""How faithfully NICs carry their nominal rate, each alone and all together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plan.model import Plan
from tests.topology.plans import make_plan
from tests.topology.running import running
from topology import counters, probe
from topology.network import Network

pytestmark = [pytest.mark.network, pytest.mark.benchmark, pytest.mark.timeout(300)]

TOLERANCE = 0.03
SECONDS = 1.0


@pytest.fixture(scope="module", params=[4000.0, 1000.0], ids=["cnic100M", "cnic400M"])
def plan(request: pytest.FixtureRequest) -> Plan:
    """Two nodes on one edge switch a plane; a CNIC is 100 or 400 Mbit/s on the wire."""
    return make_plan(k=8, byte_scale=request.param, snic_bps=50e9, storage_bps=100e9)


@pytest.fixture(scope="module")
def network(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running(plan, tmp_path_factory.mktemp("run")) as started:
        yield started


def test_each_nic_alone_carries_its_nominal_rate(
    network: Network, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    ratios: dict[str, float] = {}
    for pair in probe.ring(plan):
        achieved_bps = probe.measure(network, plan, [pair], SECONDS).arrived_bps[pair]
        ratios[f"{pair.source.name} -> {pair.target.name}"] = achieved_bps / pair.rate_bps
    report(capsys, "alone", ratios)
    assert_nominal(ratios)
    assert_lossless(network, plan)


def test_all_nics_together_carry_their_nominal_rate(
    network: Network, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    ratios = probe.probe_rates(network, plan, SECONDS)
    report(capsys, "together", ratios)
    assert_nominal(ratios)
    assert_lossless(network, plan)


def assert_nominal(ratios: dict[str, float]) -> None:
    wrong = {name: ratio for name, ratio in ratios.items() if abs(ratio - 1) > TOLERANCE}
    assert wrong == {}


def assert_lossless(network: Network, plan: Plan) -> None:
    assert set(counters.drops(network, plan).values()) == {0}
    assert set(counters.retransmits(network).values()) == {0}


def report(capsys: pytest.CaptureFixture[str], title: str, ratios: dict[str, float]) -> None:
    with capsys.disabled():
        print(f"\npayload rate over nominal, {title}:")
        for name, ratio in ratios.items():
            print(f"  {name:28} {ratio:.4f}")
