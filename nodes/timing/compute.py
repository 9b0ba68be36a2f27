"""How long computing takes: prefill from (cached, bsz) pairs, decode from memory traffic.

Pure arithmetic on `ModelSpec` and `GpuSpec` (paper sections 4 and 6), no clock. A chunk
`(cached, bsz)` is `bsz` new tokens behind `cached` tokens whose KV-Cache is there already;
its j-th token (j = 1..bsz) attends `cached + j` tokens, or the top-k of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from plan.deployment import GpuSpec, ModelSpec

Pair = tuple[int, int]
"""(cached, bsz), tokens."""


def attended(model: ModelSpec, context: int) -> int:
    """Tokens that one token with `context` tokens in view attends: all, or the top-k."""
    return min(context, model.attention_top_k) if model.attention_top_k else context


def weights_per_gpu(model: ModelSpec, ep_group: int) -> float:
    """Weights held by one GPU, bytes: experts sharded over the group, the rest replicated.

    Raises:
        ValueError: `ep_group` < 1.
    """
    if ep_group < 1:
        raise ValueError(f"ep_group must be >= 1, not {ep_group}")
    return model.weight_bytes - model.expert_bytes + model.expert_bytes / ep_group


def free_hbm_bytes(model: ModelSpec, gpu: GpuSpec, ep_group: int) -> float:
    """HBM of one GPU that is left for KV-Cache, bytes.

    Raises:
        ValueError: the weights do not fit.
    """
    weights = weights_per_gpu(model, ep_group)
    if weights >= gpu.hbm_bytes:
        raise ValueError(
            f"hbm_bytes: {model.name} needs {weights / 1e9:.1f} GB of weights per GPU with "
            f"ep_group {ep_group}, but {gpu.name} has {gpu.hbm_bytes / 1e9:.1f} GB; "
            "use a larger ep_group, a smaller model or a GPU with more HBM"
        )
    return gpu.hbm_bytes - weights


def kv_capacity(model: ModelSpec, gpu: GpuSpec, ep_group: int) -> float:
    """Tokens whose KV-Cache fits one GPU's HBM beside the weights.

    Raises:
        ValueError: the weights do not fit.
    """
    return free_hbm_bytes(model, gpu, ep_group) / model.token_bytes


def prefill_layer_s(model: ModelSpec, gpu: GpuSpec, chunks: Sequence[Pair]) -> float:
    """Time of one layer of a forward batch, seconds."""
    tokens = sum(bsz for _, bsz in chunks)
    linear_flops = model.linear_flops / model.layers * tokens
    return (linear_flops + _attention_layer_flops(model, chunks)) / gpu.flops


def own_layer_s(model: ModelSpec, gpu: GpuSpec, chunks: Sequence[Pair]) -> float:
    """The part of `prefill_layer_s` that a GPU does for its own tokens alone, seconds: all
    but the routed experts, which an expert-parallel group does for all tokens together."""
    tokens = sum(bsz for _, bsz in chunks)
    return prefill_layer_s(model, gpu, chunks) - expert_layer_s(model, gpu, tokens)


def expert_layer_s(model: ModelSpec, gpu: GpuSpec, tokens: float) -> float:
    """Routed experts of one layer for a GPU's even share of the group's tokens, seconds.

    Expert weights are taken to be one byte a parameter (FP8), as in the presets.
    """
    if not model.experts:
        return 0.0
    active = model.expert_bytes * model.active_experts / model.experts
    return 2 * active / model.layers * tokens / gpu.flops


def attention_s(model: ModelSpec, gpu: GpuSpec, chunks: Sequence[Pair]) -> float:
    """Attention time of a forward batch over all layers, seconds, indexer included.

    The compute quota (paper section 4) limits this. It is additive over chunks.
    """
    return model.layers * _attention_layer_flops(model, chunks) / gpu.flops


def decode_step_s(
    model: ModelSpec,
    gpu: GpuSpec,
    ep_group: int,
    batch: int,
    context_tokens: int,
    attended_tokens: int,
) -> float:
    """Time of one decode step of one GPU, seconds: the longer of HBM traffic and compute,
    plus the GPU's fixed overhead for every layer with an AllToAll.

    Sums over the batch are handed in, so the cost does not grow with the batch. Every GPU
    of the expert-parallel group is taken to hold a batch of the same size. The overhead was
    calibrated in an expert-parallel group, where dispatch and combine dominate it; layers
    without them (dense ones, or ep_group 1) are charged none.

    Args:
        ep_group: GPUs that share the experts.
        batch: requests decoding on this GPU; 0 takes no time.
        context_tokens: tokens in view, summed over the batch.
        attended_tokens: `attended(model, context)`, summed over the batch.
    """
    if batch == 0:
        return 0.0
    kv = model.kv_bytes * attended_tokens + model.index_bytes * context_tokens
    read_bytes = _touched_weight_bytes(model, ep_group, batch) + model.layers * kv
    scores = model.attention_flops * attended_tokens + model.index_flops * context_tokens
    flops = model.linear_flops * batch + model.layers * scores
    busy_s = max(read_bytes / gpu.hbm_bytes_per_s, flops / gpu.flops)
    exchanging_layers = model.moe_layers if ep_group > 1 else 0
    return busy_s + exchanging_layers * gpu.decode_layer_overhead_s


def _attention_layer_flops(model: ModelSpec, chunks: Sequence[Pair]) -> float:
    return sum(
        model.attention_flops * _attended_pairs(model, cached, bsz)
        + model.index_flops * _series(cached, bsz)
        for cached, bsz in chunks
    )


def _series(cached: int, bsz: int) -> int:
    """Sum of cached + j over j = 1..bsz."""
    return bsz * cached + bsz * (bsz + 1) // 2


def _attended_pairs(model: ModelSpec, cached: int, bsz: int) -> int:
    """Sum of min(cached + j, top_k) over j = 1..bsz."""
    if not model.attention_top_k:
        return _series(cached, bsz)
    below = min(bsz, max(0, model.attention_top_k - cached))
    return _series(cached, below) + (bsz - below) * model.attention_top_k


def _touched_weight_bytes(model: ModelSpec, ep_group: int, batch: int) -> float:
    """Weights one GPU reads in a step: the replicated ones and the experts its group's
    tokens are expected to choose, if each chooses `active_experts` uniformly."""
    replicated = model.weight_bytes - model.expert_bytes
    if not model.experts:
        return weights_per_gpu(model, ep_group)
    missed = (1 - model.active_experts / model.experts) ** (batch * ep_group)
    return replicated + model.expert_bytes / ep_group * (1 - missed)
