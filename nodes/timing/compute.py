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


def prefill_layer_s(model: ModelSpec, gpu: GpuSpec, ep_group: int, chunks: Sequence[Pair]) -> float:
    """Time of one layer of a forward batch, seconds; where experts are spread over a group, of
    one whose other GPUs have as many tokens."""
    tokens = sum(bsz for _, bsz in chunks)
    return own_layer_s(model, gpu, chunks) + expert_layer_s(model, gpu, ep_group, tokens)


def own_layer_s(model: ModelSpec, gpu: GpuSpec, chunks: Sequence[Pair]) -> float:
    """The part of `prefill_layer_s` that a GPU does for its own tokens alone, seconds: all
    but the routed experts, which an expert-parallel group does for all tokens together.

    Linear layers take the longer of computing and of reading their weights; keys and values are
    made of the cached tokens' latent, too.
    """
    tokens = sum(bsz for _, bsz in chunks)
    linear = (model.linear_flops - _expert_flops(model)) / model.layers * tokens
    weights = (model.weight_bytes - model.expert_bytes) / model.layers
    linear_s = max(linear / gpu.flops, weights / gpu.hbm_bytes_per_s)
    cached_s = model.cached_flops * sum(cached for cached, _ in chunks) / gpu.flops
    each_s = len(chunks) * gpu.request_layer_s
    work_s = each_s + linear_s + cached_s + _attention_layer_s(model, gpu, chunks)
    return max(gpu.layer_s, work_s)


def expert_layer_s(model: ModelSpec, gpu: GpuSpec, ep_group: int, tokens: float) -> float:
    """Routed experts of one layer for a GPU's even share of the group's tokens, seconds: the
    longer of computing and of reading the weights of the GPU's experts.

    Expert weights are taken to be one byte a parameter (FP8), as in the presets.
    """
    weights = model.expert_bytes / ep_group / model.layers
    flops = _expert_flops(model) / model.layers * tokens
    return max(flops / gpu.flops, weights / gpu.hbm_bytes_per_s)


def attention_s(model: ModelSpec, gpu: GpuSpec, chunks: Sequence[Pair]) -> float:
    """Attention time of a forward batch over all layers, seconds: scores and indexer.

    The compute quota (paper section 4) limits this. It is additive over chunks.
    """
    return model.layers * _attention_layer_s(model, gpu, chunks)


class DecodeStep:
    """How long one decode step of one GPU takes: the longer of HBM traffic and linear layers, then
    attention, which so few tokens do slowly, and what every sequence and every layer with an
    AllToAll cost whatever is in them.

    Sums over the batch are handed in, so the cost does not grow with the batch. Every GPU
    of the expert-parallel group is taken to hold a batch of the same size. Layers without an
    AllToAll (dense ones, or ep_group 1) are charged nothing fixed: in one, dispatch and combine
    dominate it.

    Asked for every step of a run, so what does not change is worked out once.

    Args:
        ep_group: GPUs that share the experts.
    """

    def __init__(self, model: ModelSpec, gpu: GpuSpec, ep_group: int) -> None:
        self._model = model
        self._ep_group = ep_group
        self._layers = float(model.layers)
        self._kv_bytes, self._index_bytes = float(model.kv_bytes), float(model.index_bytes)
        self._attention_flops = float(model.attention_flops)
        self._index_flops = float(model.index_flops)
        self._hbm_bytes_per_s, self._flops = float(gpu.hbm_bytes_per_s), float(gpu.flops)
        self._attention_rate = float(gpu.decode_attention_flops or gpu.flops)
        exchanging_layers = model.moe_layers if ep_group > 1 else 0
        self._fixed_s = float(exchanging_layers * gpu.decode_layer_s)
        self._each_s = float(model.layers * gpu.decode_request_layer_s)
        self._batch = 0
        self._weight_bytes = 0.0
        self._linear_flops = 0.0

    def seconds(self, batch: int, context_tokens: int, attended_tokens: int) -> float:
        """The time of a step.

        Args:
            batch: requests decoding on this GPU; 0 takes no time.
            context_tokens: tokens in view, summed over the batch.
            attended_tokens: `attended(model, context)`, summed over the batch.
        """
        if batch == 0:
            return 0.0
        if batch != self._batch:
            self._batch = batch
            self._weight_bytes = _touched_weight_bytes(self._model, self._ep_group, batch)
            self._linear_flops = float(self._model.linear_flops * batch)
        context, attended = float(context_tokens), float(attended_tokens)
        kv = self._kv_bytes * attended + self._index_bytes * context
        scores = self._attention_flops * attended + self._index_flops * context
        read_s = (self._weight_bytes + self._layers * kv) / self._hbm_bytes_per_s
        attention_s = self._layers * scores / self._attention_rate
        linear_s = self._linear_flops / self._flops
        return max(read_s, linear_s) + attention_s + batch * self._each_s + self._fixed_s


def _expert_flops(model: ModelSpec) -> float:
    """FLOP per token in routed experts."""
    if not model.experts:
        return 0.0
    return 2 * model.expert_bytes * model.active_experts / model.experts


def _attention_layer_s(model: ModelSpec, gpu: GpuSpec, chunks: Sequence[Pair]) -> float:
    return _attention_layer_flops(model, chunks) / gpu.flops


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
