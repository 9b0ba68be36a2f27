"""Claims: what a deployment bears, and what binds it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.model import COPY_S
from plan.workload import Trajectory, Turn
from scenarios.analysis.planner import (
    WORTH,
    Demand,
    buildable,
    choose,
    demand_of,
    evaluate,
    upgrades,
)
from scenarios.analysis.theory import dual_path
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.configuration.systems import SYSTEMS
from scenarios.workload.generator import generate
from tests.examples import tries

DEMAND = demand_of(generate("64K", 20, 1))
PATHS = ["systems=[basic,dualpath]"]


def planned(*overrides: str) -> Scenario:
    return load_scenario(library.find(Path("online-660b")), [*PATHS, *overrides])


def test_demand_is_what_the_mean_agent_asks_for() -> None:
    turns = (Turn(100, 10), Turn(40, 30, 60))
    demand = demand_of([Trajectory(name="a", turns=turns), Trajectory(name="b", turns=turns[:1])])
    assert demand == Demand(
        turns=1.5,
        read=30.0,
        gen=25.0,
        prompt=100.0,
        context=(10 * 105 + 30 * 115 + 10 * 105) / 50,
        requests=((0, 100), (60, 40), (0, 100)),
    )


def test_what_is_bound_by_storage_bears_what_the_analysis_says() -> None:
    """In reads of its agents: the bottleneck-free analysis, whatever else there is."""
    scenario = planned("cluster.snic=50 Gbit/s")
    choice = evaluate(scenario, DEMAND, 2, 4, SYSTEMS["dualpath"])
    cluster, model = scenario.cluster, scenario.model_spec
    most = dual_path(2, 4, 8, 1 / 8, cluster.cnic / 8, cluster.dram).total
    assert choice.capacity_aps == pytest.approx(most / (DEMAND.read * model.token_bytes))
    assert choice.binding == "PE SNIC and DE SNIC"
    one_path = evaluate(scenario, DEMAND, 2, 4, SYSTEMS["layerwise"])
    assert choice.capacity_aps / one_path.capacity_aps == pytest.approx(3)


@pytest.mark.parametrize("cnic", ["40 Gbit/s", "400 Gbit/s"])
def test_without_layerwise_prefill_gpus_wait_while_their_batch_is_copied(cnic: str) -> None:
    """Over its CNIC, an eighth of what all of a node's carry, or while its host submits them; reads
    go on meanwhile."""
    scenario = planned("model=ds-27b", f"cluster.cnic={cnic}")
    basic, one_path = (
        evaluate(scenario, DEMAND, 2, 4, SYSTEMS[name]).limits_aps
        for name in ("basic", "layerwise")
    )
    gpus, model = 2 * 8, scenario.model_spec
    carried = gpus * scenario.cluster.cnic / 8 / (DEMAND.read * model.token_bytes)
    blocks = DEMAND.read / scenario.scale.block_tokens
    submitted = gpus / (blocks * model.layers * COPY_S)
    assert (carried < submitted) == (cnic == "40 Gbit/s")
    added = 1 / (1 / one_path["PE GPU"] + 1 / min(carried, submitted))
    assert basic["PE GPU with its copies"] == pytest.approx(added, rel=0.01)
    reads = [
        {name: limit for name, limit in limits.items() if "NIC" in name}
        for limits in (basic, one_path)
    ]
    assert reads[0] == reads[1] != {}


def test_the_oracle_is_nothing_to_build() -> None:
    scenario = planned("systems=[oracle,basic]")
    choices = choose(scenario, DEMAND, 6)
    assert choices[0].system == "oracle"
    assert {choice.system for choice in buildable(choices)} == {"basic"}
    assert buildable(choices[:1]) == choices[:1]


def test_a_request_that_waits_for_nobody_has_a_forward_to_itself() -> None:
    """Which has a floor: a layer's launch."""
    scenario = planned()
    floor_s = scenario.model_spec.layers * scenario.gpu_spec.layer_s
    oracle = evaluate(scenario, DEMAND, 2, 4, SYSTEMS["oracle"])
    assert floor_s <= oracle.ttft_s < 1.2 * floor_s
    batched_s = 2 * 8 / oracle.limits_aps["PE GPU"] / DEMAND.turns
    assert batched_s < floor_s


def test_buffers_hold_a_request_while_it_is_read_and_its_forward_lasts() -> None:
    """Smaller buffers are for smaller batches."""
    large, small = (
        evaluate(planned(f"cluster.dram_buffer={size}"), DEMAND, 2, 4, SYSTEMS["dualpath"])
        for size in ("2 TB", "3 GB")
    )
    assert small.binding == "DRAM buffers"
    assert large.binding != "DRAM buffers"
    assert small.limits_aps["PE GPU"] < large.limits_aps["PE GPU"]
    kv_bytes = DEMAND.prompt * planned().model_spec.token_bytes
    concurrent = small.capacity_aps * DEMAND.turns * small.ttft_s
    assert concurrent * kv_bytes <= 4 * 3e9 * 1.001


snics = st.sampled_from(["50 Gbit/s", "200 Gbit/s", "400 Gbit/s", "1600 Gbit/s"])


@given(snic=snics, nodes=st.integers(4, 9))
@tries(10)
def test_dualpath_bears_no_less_than_basic_and_the_oracle_no_less_than_it(
    snic: str, nodes: int
) -> None:
    scenario = planned(f"cluster.snic={snic}", "systems=[basic,dualpath,oracle]")
    found = {(c.label, c.system): c.capacity_aps for c in choose(scenario, DEMAND, nodes)}
    assert len(found) == 3 * (nodes - 1)
    for prefill in range(1, nodes):
        label = f"{prefill}P{nodes - prefill}D"
        assert found[label, "basic"] <= found[label, "dualpath"] <= found[label, "oracle"]


@given(snic=snics, nodes=st.integers(4, 9))
@tries(10)
def test_twice_of_a_resource_never_takes_anything_away(snic: str, nodes: int) -> None:
    scenario = planned(f"cluster.snic={snic}")
    best = choose(scenario, DEMAND, nodes)[0]
    for upgrade in upgrades(scenario, DEMAND, best):
        assert upgrade.gain >= 1 - 1e-9
        assert upgrade.best.capacity_aps >= upgrade.capacity_aps


def test_the_upgrade_of_what_binds_is_the_one_that_helps() -> None:
    scenario = planned("cluster.snic=50 Gbit/s", "systems=[layerwise]")
    choice = evaluate(scenario, DEMAND, 2, 4, SYSTEMS["layerwise"])
    assert choice.binding == "PE SNIC"
    first, *others = upgrades(scenario, DEMAND, choice)
    assert first.what == "SNIC rate"
    assert first.gain == pytest.approx(2)
    assert all(other.gain == pytest.approx(1) for other in others)


def test_where_no_upgrade_helps_alone_two_together_are_tried() -> None:
    """SNICs and decode nodes bind at almost the same rate."""
    scenario = load_scenario(library.find(Path("online-27b")), PATHS)
    choice = evaluate(scenario, DEMAND, 1, 1, SYSTEMS["dualpath"])
    pairs = [one for one in upgrades(scenario, DEMAND, choice) if " and " in one.what]
    assert {one.what for one in pairs} >= {"SNIC rate and HBM bandwidth"}
    assert all(one.gain >= WORTH for one in pairs)
    rates = [one.capacity_aps for one in pairs]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("overrides", "nodes", "why"),
    [
        ([], (1, 5), "weights do not fit the HBM of a PE"),
        ([], (5, 1), "weights do not fit the HBM of a DE"),
        (["slo.tpot=1 ms"], (2, 4), "even in a batch of one"),
        (["slo.ttft=10 ms"], (2, 4), "even where nobody waits"),
    ],
)
def test_what_cannot_keep_the_slo_says_why(
    overrides: list[str], nodes: tuple[int, int], why: str
) -> None:
    choice = evaluate(planned(*overrides), DEMAND, *nodes, SYSTEMS["dualpath"])
    assert choice.capacity_aps == 0
    assert why in choice.binding


def test_a_decode_batch_keeps_tpot_and_fits_the_hbm() -> None:
    loose, tight = (
        evaluate(planned(f"slo.tpot={tpot}"), DEMAND, 2, 4, SYSTEMS["dualpath"])
        for tpot in ("500 ms", "30 ms")
    )
    assert "DE HBM" in loose.limits_aps
    assert "DE GPU" in tight.limits_aps
    assert tight.decoding < loose.decoding
    assert math.isfinite(loose.ttft_s)


def test_a_profiles_times_bind_and_twice_the_speed_halves_them() -> None:
    scenario = planned("gpu={profile: h100-ds-660b}", "slo.tpot=150 ms", "cluster.snic=4 Tbit/s")
    choice = evaluate(scenario, DEMAND, 2, 4, SYSTEMS["dualpath"])
    assert choice.binding == "PE GPU"
    found = {one.what: one for one in upgrades(scenario, DEMAND, choice)}
    assert set(found) == {
        *("SNIC rate", "CNIC rate", "DRAM bandwidth", "DRAM buffers"),
        *("HBM capacity", "GPU speed"),
    }
    fast = found["GPU speed"].best
    again = evaluate(scenario, DEMAND, 2, 4, SYSTEMS["oracle"])
    assert again.limits_aps["PE GPU"] == choice.limits_aps["PE GPU"]
    assert found["GPU speed"].gain > 1
    assert fast.ttft_s < choice.ttft_s
