"""Compute times: exact sums, paper figures, and refusals."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.timing.compute import (
    DecodeStep,
    attended,
    attention_s,
    expert_layer_s,
    free_hbm_bytes,
    own_layer_s,
    prefill_layer_s,
    weights_per_gpu,
)
from plan.deployment import ModelSpec
from scenarios.configuration.models import GPUS, MODELS

H800 = GPUS["h800"]
DS = MODELS["ds-660b"]
QWEN = MODELS["qwen-32b"]
models = st.sampled_from(list(MODELS.values()))
tokens = st.integers(0, 5000)


@given(model=models, cached=tokens, bsz=st.integers(1, 300))
def test_attention_is_the_sum_over_tokens(model: ModelSpec, cached: int, bsz: int) -> None:
    flops = sum(
        model.attention_flops * attended(model, cached + j) + model.index_flops * (cached + j)
        for j in range(1, bsz + 1)
    )
    expected = model.layers * flops / H800.flops
    assert attention_s(model, H800, [(cached, bsz)]) == pytest.approx(expected, rel=1e-12)


@given(cached=tokens, first=st.integers(1, 3000), second=st.integers(1, 3000))
def test_cutting_a_prefill_costs_one_more_request_and_the_latent_of_what_is_cached(
    cached: int, first: int, second: int
) -> None:
    launched = msgspec.structs.replace(H800, layer_s=0.0)
    whole = prefill_layer_s(DS, launched, 16, [(cached, first + second)])
    cut = prefill_layer_s(DS, launched, 16, [(cached, first), (cached + first, second)])
    more = H800.request_layer_s + DS.cached_flops * (cached + first) / H800.flops
    assert cut == pytest.approx(whole + more, rel=1e-12)


def test_a_layer_takes_no_less_than_its_launch_and_more_once_there_is_work() -> None:
    least = H800.layer_s + expert_layer_s(DS, H800, 16, 1)
    assert prefill_layer_s(DS, H800, 16, [(0, 1)]) == pytest.approx(least)
    one, two = (prefill_layer_s(DS, H800, 16, [(30_000, 300)] * n) for n in (1, 2))
    assert two < 2 * one
    many = [prefill_layer_s(DS, H800, 16, [(30_000, 300)] * n) for n in (10, 20)]
    assert many[1] == pytest.approx(2 * many[0])


def test_attention_is_additive_over_chunks() -> None:
    chunks = [(100, 20), (30000, 429), (0, 5000)]
    parts = sum(attention_s(DS, H800, [chunk]) for chunk in chunks)
    assert attention_s(DS, H800, chunks) == pytest.approx(parts)


@pytest.mark.parametrize(
    ("cached", "new", "gpu_s"), [(19372, 398, 0.172), (28444, 290, 0.191), (37483, 241, 0.220)]
)
def test_a_turn_costs_what_the_papers_oracle_takes_for_each_agent_more(
    cached: int, new: int, gpu_s: float
) -> None:
    """The slope of Fig 7's bars over agents; batches of what 300 ms of attention hold. It holds
    what engines wait for the slowest of 16 at the barrier, too, a tenth or more."""
    requests = max(1, int(0.3 / attention_s(DS, H800, [(cached, new)])))
    batch_s = DS.layers * prefill_layer_s(DS, H800, 16, [(cached, new)] * requests)
    assert 0.8 * gpu_s < batch_s / requests < gpu_s


def test_a_batch_reads_its_weights_however_few_its_tokens() -> None:
    bare = msgspec.structs.replace(H800, layer_s=0.0, request_layer_s=0.0)
    layer_s = prefill_layer_s(DS, bare, 16, [(0, 1)])
    assert DS.layers * layer_s == pytest.approx(
        weights_per_gpu(DS, 16) / H800.hbm_bytes_per_s, rel=0.01
    )


def test_what_a_gpu_does_alone_and_what_the_group_does_is_all() -> None:
    chunks = [(20_000, 400), (0, 3000)]
    parts = own_layer_s(DS, H800, chunks) + expert_layer_s(DS, H800, 16, 3400)
    assert parts == pytest.approx(prefill_layer_s(DS, H800, 16, chunks))


def test_sparse_attention_stops_at_top_k() -> None:
    assert attended(DS, 2047) == 2047
    assert attended(DS, 50_000) == 2048
    assert attended(QWEN, 50_000) == 50_000


def test_kv_of_a_ds_27b_turn_at_20k_is_about_390_mb() -> None:
    assert 20_000 * MODELS["ds-27b"].token_bytes == pytest.approx(390e6, rel=0.02)


def decode_s(batch: int, context: int = 32721, ep_group: int = 32) -> float:
    return DecodeStep(DS, H800, ep_group).seconds(
        batch, batch * context, batch * attended(DS, context)
    )


def test_decode_steps_are_near_the_papers_tpot() -> None:
    """Oracle, 0.1 and 0.4 agents/s (Fig 10); what its DE GPUs hold then follows from Little, with
    the 15K generated tokens that the JCT of an agent leaves room for."""
    assert decode_s(2) == pytest.approx(0.0293, rel=0.15)
    assert decode_s(7) == pytest.approx(0.0356, rel=0.15)


def test_attention_of_a_decode_step_has_a_rate_of_its_own() -> None:
    slower = msgspec.structs.replace(H800, decode_attention_flops=H800.decode_attention_flops / 2)
    scores = DS.attention_flops * 2048 + DS.index_flops * 32721
    more = DecodeStep(DS, slower, 32).seconds(1, 32721, 2048) - decode_s(1)
    assert more == pytest.approx(DS.layers * scores / H800.decode_attention_flops)


def test_decode_of_a_lone_dense_request_is_bound_by_reading_the_weights() -> None:
    bare = msgspec.structs.replace(H800, decode_request_layer_s=0.0)
    step = DecodeStep(QWEN, bare, 1).seconds(1, 1000, 1000)
    assert step == pytest.approx(QWEN.weight_bytes / H800.hbm_bytes_per_s, rel=0.01)


def test_an_empty_decode_batch_takes_no_time() -> None:
    assert decode_s(0) == 0


def test_few_tokens_touch_few_experts() -> None:
    """Alone, with the group's experts on one GPU, a token reads 8 of 256 experts a layer."""
    roomy = msgspec.structs.replace(H800, decode_layer_s=0.0, decode_request_layer_s=0.0)
    step = DecodeStep(DS, roomy, 1).seconds(1, 0, 0)
    read = DS.weight_bytes - DS.expert_bytes + DS.expert_bytes * 8 / 256
    assert step == pytest.approx(read / H800.hbm_bytes_per_s)


@given(batch=st.integers(1, 200), context=st.integers(1, 60_000))
def test_decode_slows_down_with_batch_and_context(batch: int, context: int) -> None:
    assert decode_s(batch + 1, context) > decode_s(batch, context)
    assert decode_s(batch, context + 1000) > decode_s(batch, context)


def test_expert_parallelism_shards_only_the_experts() -> None:
    assert weights_per_gpu(DS, 1) == DS.weight_bytes
    saved = weights_per_gpu(DS, 16) - weights_per_gpu(DS, 32)
    assert saved == pytest.approx(DS.expert_bytes / 32)
    assert weights_per_gpu(QWEN, 8) == QWEN.weight_bytes


def test_the_papers_deployments_fit_and_leave_room_for_kv() -> None:
    for name, ep_group in [("ds-660b", 16), ("ds-27b", 8), ("qwen-32b", 1)]:
        free = free_hbm_bytes(MODELS[name], H800, ep_group)
        assert free > 64 * 1024 * MODELS[name].token_bytes


def test_weights_that_do_not_fit_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"hbm_bytes: ds-660b .* larger ep_group"):
        free_hbm_bytes(DS, H800, 8)


def test_an_empty_expert_parallel_group_is_refused() -> None:
    with pytest.raises(ValueError, match="ep_group must be >= 1, not 0"):
        weights_per_gpu(DS, 0)
