"""Claims: layerwise overlap, chunks under the quota, HBM admission (paper sections 1 and 4)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.timing.compute import attention_s, prefill_layer_s, weights_per_gpu
from plan.arrivals import Arrivals
from plan.deployment import System
from plan.model import Plan
from plan.records import CounterSample, RequestRecord
from plan.workload import Trajectory
from tests.examples import tries
from tests.nodes.plans import (
    BASIC,
    DUAL,
    GROUPS,
    LAYER_BLOCK_BYTES,
    LAYERWISE,
    ORACLE,
    TOKENS,
    agent,
    make_plan,
)
from tests.nodes.simulated import Simulated, simulate

HITS, MISSES = 100, 4
"""Full Blocks of a turn's prompt: in storage, and new."""
TURN = agent((MISSES * TOKENS, 1), preloaded=HITS * TOKENS)
READS_FIRST = agent((1, 1), preloaded=TOKENS)
"""Reads one block on the PE path, so that the next turn's read goes the DE path."""
CNIC_BPS = 400e9
SAMPLE_S = 1e-4
POSTING_S = 2e-4
"""Well above what messages and submissions add to a phase (50 us and 1 us each)."""


def group_compute_s(plan: Plan, hits: int = HITS, misses: int = MISSES) -> float:
    layer_s = prefill_layer_s(plan.model, plan.gpu, 1, [(hits * TOKENS, misses * TOKENS)])
    return plan.model.layers / GROUPS * layer_s


def group_load_s(cnic_bps: float = CNIC_BPS) -> float:
    return HITS * LAYER_BLOCK_BYTES * 8 / cnic_bps


def prefill_s(record: RequestRecord) -> float:
    assert record.first_s is not None
    assert record.prefill_start_s is not None
    return record.first_s - record.prefill_start_s


def one(plan: Plan, system: System) -> RequestRecord:
    (record,) = simulate(plan, system, 1.0).records
    return record


def test_layerwise_prefill_hides_loading_behind_longer_computing() -> None:
    plan = make_plan([TURN])
    load_s, compute_s = group_load_s(), group_compute_s(plan)
    assert load_s < compute_s / 2
    expected_s = load_s + GROUPS * compute_s
    assert prefill_s(one(plan, LAYERWISE)) == pytest.approx(expected_s, abs=POSTING_S)


def test_layerwise_prefill_hides_computing_behind_longer_loading() -> None:
    """On the DE path nothing but the load crosses into the PE's CNIC."""
    slow_bps = 20e9
    plan = make_plan([READS_FIRST, TURN], cnic_bps=slow_bps)
    load_s, compute_s = group_load_s(slow_bps), group_compute_s(plan)
    assert compute_s < load_s / 2
    record = simulate(plan, DUAL, 1.0).records[-1]
    assert record.path == "de"
    assert prefill_s(record) == pytest.approx(GROUPS * load_s + compute_s, abs=POSTING_S)


def submitted_s(plan: Plan, hits: int = HITS) -> float:
    """What the GPU's driver needs for the hits' copies, one Layer Block after another."""
    return hits * plan.model.layers * plan.copy_s


@pytest.mark.parametrize("cnic_bps", [CNIC_BPS, CNIC_BPS / 20])
def test_without_layerwise_prefill_copying_and_computing_add_up(cnic_bps: float) -> None:
    """Copying takes as long as submitting its Layer Blocks or as the CNIC's bytes. An idle engine
    waits for others no longer here than it copies."""
    plan = make_plan([TURN], cnic_bps=cnic_bps)
    constants = msgspec.structs.replace(plan.constants, fetch_interval_s=group_load_s())
    plan = msgspec.structs.replace(plan, constants=constants)
    copied_s = max(GROUPS * group_load_s(cnic_bps), submitted_s(plan))
    assert (copied_s == submitted_s(plan)) == (cnic_bps == CNIC_BPS)
    expected_s = copied_s + GROUPS * group_compute_s(plan)
    assert prefill_s(one(plan, BASIC)) == pytest.approx(expected_s, abs=POSTING_S)


@pytest.mark.parametrize("gpus", [1, 3])
def test_without_layerwise_prefill_an_engine_submits_one_copy_after_another(gpus: int) -> None:
    """Of three turns, all on one engine or each on its own. What comes late for a batch is in the
    next one."""
    turns = [agent((64, 1), preloaded=HITS * TOKENS)] * 3
    plan = make_plan(turns, gpus=gpus, snic_bps=100 * CNIC_BPS)
    constants = msgspec.structs.replace(plan.constants, fetch_interval_s=submitted_s(plan) / 100)
    plan = msgspec.structs.replace(plan, constants=constants, ep_group={"prefill": 1, "decode": 1})
    free = msgspec.structs.replace(plan, copy_s=0.0)
    with_s, without_s = (
        max(record.first_s or 0.0 for record in simulate(each, BASIC, 1.0).records)
        for each in (plan, free)
    )
    each_s = submitted_s(plan) - GROUPS * group_load_s()
    assert with_s - without_s == pytest.approx(3 / gpus * each_s, rel=0.1)


@pytest.mark.parametrize("system", [BASIC, LAYERWISE], ids=lambda system: system.name)
def test_without_layerwise_prefill_the_second_token_waits_for_what_the_host_posts(
    system: System,
) -> None:
    """All Layer Blocks of the prompt; with it the last ones only, which no layer hides."""
    plan = make_plan([agent((MISSES * TOKENS, 2), preloaded=HITS * TOKENS)])
    slow = msgspec.structs.replace(plan, submit_s=2e-5)
    ttst_s = []
    for each in (plan, slow):
        record = one(each, system)
        assert record.first_s is not None
        assert record.second_s is not None
        ttst_s.append(record.second_s - record.first_s)
    posted_s = (HITS + MISSES) * plan.model.layers * slow.submit_s
    assert ttst_s[1] - ttst_s[0] == pytest.approx(
        0.0 if system.layerwise else posted_s, abs=posted_s / 10
    )


def test_without_layerwise_prefill_the_next_batch_is_read_while_one_computes() -> None:
    """Of three turns on one engine the reads take turns, and no notice of what it computes."""
    plan = make_plan([TURN] * 3)
    ends_s = sorted(record.read_end_s or 0.0 for record in simulate(plan, BASIC, 1.0).records)
    read_s = one(make_plan([TURN]), BASIC).read_end_s
    assert read_s is not None
    assert group_compute_s(plan) * GROUPS > read_s / 2
    assert ends_s == pytest.approx([read_s, 2 * read_s, 3 * read_s], abs=3 * POSTING_S)


def groups_loaded(sample: CounterSample) -> float:
    """Layer Block groups that the H2D copies have brought into the PE's HBM."""
    return sample.nics["pe0.cnic0"][1] / (HITS * LAYER_BLOCK_BYTES)


def at(run: Simulated, t_s: float) -> CounterSample:
    return min(run.samples, key=lambda sample: abs(sample.t_s - t_s))


def test_group_i_plus_1_loads_while_group_i_computes() -> None:
    """Late in the computing of group i, group i + 1 is in HBM and i + 2 has not begun."""
    plan = make_plan([TURN])
    run = simulate(plan, LAYERWISE, SAMPLE_S)
    start_s = run.records[0].prefill_start_s
    assert start_s is not None
    for i in range(GROUPS - 1):
        computing_s = start_s + group_load_s() + (i + 0.9) * group_compute_s(plan)
        assert groups_loaded(at(run, computing_s)) == pytest.approx(i + 2)


def test_without_layerwise_prefill_everything_is_loaded_before_computing() -> None:
    plan = make_plan([TURN])
    run = simulate(plan, BASIC, SAMPLE_S)
    start_s = run.records[0].prefill_start_s
    assert start_s is not None
    computing_s = start_s + GROUPS * group_load_s() + 0.5 * group_compute_s(plan)
    assert groups_loaded(at(run, computing_s)) == pytest.approx(GROUPS)


def chunked(system: System, quota_s: float, agents: Sequence[Trajectory]) -> Simulated:
    return simulate(make_plan(agents, quota_s=quota_s), system, 1.0)


LONG_TURN = agent((1000, 70), preloaded=3000)


@pytest.mark.parametrize("system", [BASIC, LAYERWISE], ids=lambda system: system.name)
@pytest.mark.parametrize("turns", [[LONG_TURN], [READS_FIRST, LONG_TURN]], ids=["pe", "both"])
def test_chunks_leave_the_same_kv_in_the_de_buffer(system: System, turns: list[Trajectory]) -> None:
    if len(turns) > 1:
        system = msgspec.structs.replace(system, paths="dual")
    plan = make_plan(turns)
    whole_s = attention_s(plan.model, plan.gpu, [(46 * TOKENS, 3000 + 1000 - 46 * TOKENS)])
    whole = chunked(system, 1.1 * whole_s, turns)
    cut = chunked(system, whole_s / 5, turns)
    de = [stats for run in (whole, cut) for stats in run.stats if stats.node == "de0"]
    assert de[0].blocks_verified == de[1].blocks_verified > 0
    assert sum(stats.blocks_corrupt for run in (whole, cut) for stats in run.stats) == 0
    into_de = [run.samples[-1].nics["de0.cnic0"][1] for run in (whole, cut)]
    assert into_de[0] == pytest.approx(into_de[1])


def test_a_chunk_loads_again_what_came_before_it_layer_by_layer() -> None:
    """HBM holds two groups, so each chunk reloads the context; exactly its full blocks."""
    run = chunked(LAYERWISE, 1e-9, [agent((3 * TOKENS, 1), preloaded=10 * TOKENS)])
    into_pe = run.samples[-1].nics["pe0.cnic0"][1] / (GROUPS * LAYER_BLOCK_BYTES)
    assert into_pe == pytest.approx(10 + 11 + 12)


def test_without_a_quota_there_are_no_chunks() -> None:
    cut = chunked(LAYERWISE, 1e-9, [LONG_TURN])
    whole = simulate(
        make_plan([LONG_TURN], quota_s=1e-9),
        msgspec.structs.replace(LAYERWISE, quota=False),
        1.0,
    )
    loaded = [run.samples[-1].nics["pe0.cnic0"][1] for run in (whole, cut)]
    hits = LONG_TURN.preloaded // TOKENS
    assert loaded[0] == pytest.approx(hits * GROUPS * LAYER_BLOCK_BYTES)
    assert loaded[1] > 2 * loaded[0]


@pytest.mark.parametrize("system", [LAYERWISE, ORACLE], ids=lambda system: system.name)
def test_what_comes_while_a_forward_computes_is_one_batch(system: System) -> None:
    """The first agent's second turn computes alone; the others' come one by one meanwhile."""
    plan = make_plan([agent((64, gen), (64, 1)) for gen in (1, 4, 8)])
    launch = msgspec.structs.replace(plan.gpu, layer_s=1.0 / plan.model.layers)
    run = simulate(msgspec.structs.replace(plan, gpu=launch), system, 1.0)
    second = {record.agent: record for record in run.records if record.turn == 1}
    first_s, started_s = second[0].first_s, [second[i].prefill_start_s for i in (1, 2)]
    assert first_s is not None
    assert max(second[i].submit_s for i in (1, 2)) < first_s
    assert started_s[0] == started_s[1]


def with_prefill_hbm(plan: Plan, tokens: int) -> Plan:
    weights = weights_per_gpu(plan.model, plan.ep_group["prefill"])
    needed = weights + tokens * plan.model.token_bytes
    return msgspec.structs.replace(plan, gpu=msgspec.structs.replace(plan.gpu, hbm_bytes=needed))


def starts_and_firsts(system: System, hbm_tokens: int) -> list[tuple[float, float]]:
    """(prefill start, first token) of three turns of 640 tokens that come together."""
    plan = with_prefill_hbm(make_plan([agent((640, 2))] * 3), hbm_tokens)
    found = []
    for record in simulate(plan, system, 1.0).records:
        assert record.prefill_start_s is not None
        assert record.first_s is not None
        found.append((record.prefill_start_s, record.first_s))
    return sorted(found)


def test_without_layerwise_prefill_a_batch_is_what_hbm_holds() -> None:
    one, two, three = starts_and_firsts(BASIC, 700)
    assert one[1] < two[0] < two[1] < three[0]


def test_layerwise_prefill_needs_hbm_for_two_groups_only() -> None:
    """The first turn starts alone; the others form one batch, whatever HBM holds."""
    _, two, three = starts_and_firsts(LAYERWISE, 700)
    assert two == three


def test_with_hbm_enough_turns_share_a_batch_without_layerwise_prefill_too() -> None:
    one, two, three = starts_and_firsts(BASIC, 2000)
    assert one == two == three


def batches(starts_s: Sequence[float], *, in_step: bool) -> set[tuple[int, ...]]:
    """Who shares a batch of Basic's: agents of one turn on two engines whose HBM takes two each."""
    turns = [
        msgspec.structs.replace(agent((64, 1), preloaded=640), start_s=start_s)
        for start_s in starts_s
    ]
    plan = msgspec.structs.replace(make_plan(turns, gpus=2), arrivals=Arrivals())
    if not in_step:
        plan = msgspec.structs.replace(plan, ep_group={"prefill": 1, "decode": 1})
    plan = with_prefill_hbm(plan, 1500)
    found: dict[tuple[str | None, float | None], list[int]] = {}
    for record in simulate(plan, BASIC, 1.0).records:
        found.setdefault((record.pe, record.first_s), []).append(record.agent)
    return {tuple(sorted(agents)) for agents in found.values()}


AGENTS = 8
EARLY_S = st.floats(0, 0.9 * make_plan([]).constants.fetch_interval_s)


@pytest.mark.parametrize("in_step", [True, False])
@tries(20)
@given(starts_s=st.lists(EARLY_S, min_size=AGENTS, max_size=AGENTS).map(sorted))
def test_who_shares_a_batch_is_no_matter_of_microseconds(
    starts_s: list[float], *, in_step: bool
) -> None:
    """Neither while nothing is computed, nor of HBM that is freed bit by bit."""
    assert batches(starts_s, in_step=in_step) == {(0, 2), (1, 3), (4, 6), (5, 7)}
