"""Claims about which flows the probe runs, and what it expects of them."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from itertools import count
from typing import cast

import pytest

from plan.errors import RunError
from plan.model import Plan
from tests.topology.plans import make_plan
from topology import probe
from topology.network import Network


def test_the_ring_fills_every_nic_that_has_an_equal_once_in_each_direction() -> None:
    plan = make_plan(prefill=2, decode=4, gpus_per_node=2)
    pairs = probe.ring(plan)
    alone = {"st0.snic"}
    names = {nic.name for nic in plan.fabric.nics} - alone
    assert Counter(pair.source.name for pair in pairs) == dict.fromkeys(names, 1)
    assert Counter(pair.target.name for pair in pairs) == dict.fromkeys(names, 1)


def test_a_ring_of_a_full_tree_never_puts_two_flows_on_one_edge_uplink_direction() -> None:
    plan = make_plan(prefill=4, decode=4, gpus_per_node=2, k=4)
    leaving = Counter(
        pair.source.switch
        for pair in probe.ring(plan)
        if pair.source.kind == "cnic" and pair.source.switch != pair.target.switch
    )
    assert set(leaving.values()) == {1}


def test_every_storage_host_fills_the_snics_of_its_share_of_the_nodes() -> None:
    plan = make_plan(prefill=2, decode=2, storage=2, storage_bps=150e9, snic_bps=100e9)
    pairs = probe.storage_fan(plan)
    assert {(pair.source.name, pair.target.name) for pair in pairs} == {
        ("st0.snic", "pe0.snic"),
        ("st1.snic", "pe1.snic"),
        ("st0.snic", "de0.snic"),
        ("st1.snic", "de1.snic"),
    }
    assert {pair.rate_bps for pair in pairs} == {75e9}


def test_oversubscribed_links_bound_what_a_pair_across_edges_is_owed() -> None:
    plan = make_plan(prefill=2, decode=2, oversubscription=4.0, k=4)
    owed = {
        pair.source.switch == pair.target.switch: pair.rate_bps
        for pair in probe.ring(plan)
        if pair.source.kind == "cnic"
    }
    assert owed == {True: pytest.approx(400e9), False: pytest.approx(100e9)}


@pytest.mark.parametrize("busy", ["pe1.cnic0", "pe0.mgmt", "st0.snic"])
def test_what_was_off_is_probed_once_more_and_not_all_else(
    busy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first flow of a NIC finds the machine busy, all others do not."""
    plan = make_plan(prefill=2, decode=2)
    probed: list[probe.Pair] = []

    def met(pair: probe.Pair) -> bool:
        return busy in (pair.source.name, pair.target.name)

    def measure(_: Network, plan: Plan, pairs: list[probe.Pair], seconds: float) -> probe.Measured:
        first = not any(map(met, probed))
        probed.extend(pairs)
        rates = {pair: pair.rate_bps / (2 if first and met(pair) else 1) for pair in pairs}
        left = dict.fromkeys((pair.source.name for pair in pairs), 0.0)
        for pair, rate_bps in rates.items():
            left[pair.source.name] += rate_bps
        return probe.Measured(rates, left)

    monkeypatch.setattr(probe, "measure", measure)
    ratios = probe.probe_rates(cast(Network, None), plan)
    once = len(probe.ring(plan)) + len(probe.storage_fan(plan))
    assert any(map(met, probed[once:]))
    assert len(probed) < 2 * once
    assert all(ratio == pytest.approx(1) for ratio in ratios.values())


@pytest.mark.parametrize("storage_bps", [100e9, 400e9])
def test_of_a_storage_host_with_rate_to_spare_counts_what_arrives(
    monkeypatch: pytest.MonkeyPatch, storage_bps: float
) -> None:
    """While its flows fill queues at the SNICs, more leaves it than they are owed."""
    plan = make_plan(storage_bps=storage_bps, snic_bps=50e9)
    fan = probe.storage_fan(plan)

    def measure(_: object, __: Plan, pairs: list[probe.Pair], ___: float) -> probe.Measured:
        rates = {pair: pair.rate_bps for pair in pairs}
        grown = 1.0 if storage_bps == 100e9 else 1.3
        return probe.Measured(rates, {"st0.snic": grown * sum(rates.values())})

    monkeypatch.setattr(probe, "measure", measure)
    assert sum(pair.rate_bps for pair in fan) == 100e9
    assert probe.probe_rates(cast(Network, None), plan)["st0.snic"] == pytest.approx(1)


def test_a_round_is_as_long_as_its_slowest_flow_needs() -> None:
    plan = make_plan()
    fast, slow = (
        [pair for pair in pairs if pair.source.kind == kind]
        for pairs, kind in ((probe.ring(plan), "cnic"), (probe.storage_fan(plan), "snic"))
    )
    assert probe.measured_s(plan, fast) == probe.SHORTEST_S
    frames = probe.measured_s(plan, slow) * plan.scale.wire_bps(slow[0].rate_bps)
    assert frames == pytest.approx(probe.FRAMES * 8 * plan.fabric.mtu)
    assert probe.measured_s(make_plan(byte_scale=1e6), slow) == probe.LONGEST_S


@pytest.mark.parametrize(
    ("waiting", "drains"), [([3, 2, 2, 1, 0], True), ([3, 2, 2, 2, 2, 2, 2], False)]
)
def test_queues_may_take_their_time_as_long_as_they_drain(
    monkeypatch: pytest.MonkeyPatch, waiting: list[int], drains: bool
) -> None:
    left, now = iter(waiting), count(step=4)  # seconds: each look comes later
    monkeypatch.setattr(probe, "waiting_bytes", lambda network, plan: next(left))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with nullcontext() if drains else pytest.raises(RunError, match="2 bytes wait"):
        probe._drain(cast(Network, None), make_plan())
