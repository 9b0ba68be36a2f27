"""The models and GPUs of the paper's evaluation as arithmetic (paper section 6).

Everything follows from published architectures; `cache_compute_ratio` is the check, since
the paper prints it for several models. DeepSeek-V3 is left out: no published KV layout
gives the paper's 4.8-5.8 GB per PFLOP within 10 %.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from plan.deployment import GpuSpec, ModelSpec

_MLA_LATENT = 512 + 64  # compressed KV and decoupled RoPE key, elements per token and layer
_MLA_SCORED = 576 + 512  # elements met by a query: the latent for scores, 512 of it for values
_MLA_UNCOMPRESSED = 128 + 128  # elements of key and value that a head makes of the latent
_FP8_SCALES = 4  # an FP32 scale beside each indexer key


def _latent_attention_flops(heads: int) -> float:
    """FLOP per (token, attended token, layer) of absorbed multi-head latent attention."""
    return heads * _MLA_SCORED * 2


def _up_projection_flops(heads: int) -> float:
    """FLOP per (cached token, layer) that make keys and values of the latent."""
    return 2.0 * 512 * heads * _MLA_UNCOMPRESSED


def _grouped_attention_flops(heads: int, head_dim: int) -> float:
    """FLOP per (token, attended token, layer): QK and AV, 2 FLOP a multiply-add."""
    return 4.0 * heads * head_dim


def _expert_parameters(hidden: int, intermediate: int) -> int:
    """Parameters of one SwiGLU expert: gate, up and down."""
    return 3 * hidden * intermediate


def _ds_660b() -> ModelSpec:
    """DeepSeek-V3.2: 671 B parameters in FP8, 37 B of them active.

    61 layers, 58 of them MoE with 256 experts of 2048 (8 active); 128 heads of MLA over the
    top 2048 tokens, chosen by an indexer of 64 heads x 128. Dispatch crosses the fabric in
    FP8, combine in BF16: 1.5 bytes per element on average.
    """
    return ModelSpec(
        name="ds-660b",
        layers=61,
        kv_bytes=_MLA_LATENT,
        index_bytes=128 + _FP8_SCALES,
        linear_flops=2 * 37e9,
        attention_flops=_latent_attention_flops(128),
        attention_top_k=2048,
        index_flops=64 * 128 * 2,
        cached_flops=_up_projection_flops(128),
        weight_bytes=671e9,
        expert_bytes=58 * 256 * _expert_parameters(7168, 2048),
        hidden=7168,
        moe_layers=58,
        active_experts=8,
        experts=256,
        activation_bytes=1.5,
    )


def _ds_27b() -> ModelSpec:
    """DS 27B: the paper's small DeepSeek, hidden 2560, 30 layers, no Q LoRA, FP8.

    Head sizes (128 + 64 RoPE, latent 512) and the vocabulary (129280) are DeepSeek-V3's; the
    sum, 27.2 B parameters of which 4.3 B active, agrees with the name.
    """
    hidden, layers, moe_layers, heads = 2560, 30, 29, 32
    expert = _expert_parameters(hidden, 1536)
    attention = hidden * heads * (128 + 64) + hidden * _MLA_LATENT
    attention += 512 * heads * (128 + 128) + heads * 128 * hidden
    indexer = hidden * (32 * 64 + 64 + 32)
    dense = _expert_parameters(hidden, 12288)
    head = 129280 * hidden
    shared = layers * (attention + indexer) + dense + 2 * moe_layers * expert + head
    return ModelSpec(
        name="ds-27b",
        layers=layers,
        kv_bytes=_MLA_LATENT,
        index_bytes=64 + _FP8_SCALES,
        linear_flops=2.0 * (shared + 6 * moe_layers * expert),
        attention_flops=_latent_attention_flops(heads),
        attention_top_k=1024,
        index_flops=32 * 64 * 2,
        cached_flops=_up_projection_flops(heads),
        weight_bytes=shared + head + 72 * moe_layers * expert,  # input embedding: read, no FLOP
        expert_bytes=72 * moe_layers * expert,
        hidden=hidden,
        moe_layers=moe_layers,
        active_experts=6,
        experts=72,
        activation_bytes=1.5,
    )


def _qwen_32b() -> ModelSpec:
    """Qwen2.5-32B in FP16: 32.5 B parameters, 64 layers, 40 heads, 8 KV heads of 128."""
    return ModelSpec(
        name="qwen-32b",
        layers=64,
        kv_bytes=8 * 128 * 2 * 2,
        linear_flops=2 * 32.5e9,
        attention_flops=_grouped_attention_flops(40, 128),
        weight_bytes=2 * 32.5e9,
        hidden=5120,
        activation_bytes=2.0,
    )


def _qwen3_235b() -> ModelSpec:
    """Qwen3-235B-A22B: 94 layers, 64 heads, 4 KV heads of 128, 128 experts of 1536 (8 active).

    Weights and KV-Cache in FP8; the paper's ratio fits FP8 KV and is half of what FP16 gives.
    """
    return ModelSpec(
        name="qwen3-235b-a22b",
        layers=94,
        kv_bytes=4 * 128 * 2,
        linear_flops=2 * 22e9,
        attention_flops=_grouped_attention_flops(64, 128),
        weight_bytes=235e9,
        expert_bytes=94 * 128 * _expert_parameters(4096, 1536),
        hidden=4096,
        moe_layers=94,
        active_experts=8,
        experts=128,
        activation_bytes=1.5,
    )


def _gpt_oss_120b() -> ModelSpec:
    """GPT-OSS-120B: 36 layers, 64 heads, 8 KV heads of 64, 128 experts of 2880 (4 active).

    Every second layer attends a window of 128 tokens: its KV-Cache and its attention do not
    grow with the context and are left out, the other 18 layers' spread over all 36. KV in
    FP8 (which is what the paper's ratio fits), experts in MXFP4 (4.25 bits with scales), the
    remaining 2.1 B of 116.8 B parameters in BF16.
    """
    expert_parameters = 36 * 128 * _expert_parameters(2880, 2880)
    expert_bytes = expert_parameters * 4.25 / 8
    return ModelSpec(
        name="gpt-oss-120b",
        layers=36,
        kv_bytes=8 * 64 * 2 // 2,
        linear_flops=2 * 5.1e9,
        attention_flops=_grouped_attention_flops(64, 64) / 2,
        weight_bytes=expert_bytes + (116.8e9 - expert_parameters) * 2,
        expert_bytes=expert_bytes,
        hidden=2880,
        moe_layers=36,
        active_experts=4,
        experts=128,
        activation_bytes=2.0,
    )


MODELS: dict[str, ModelSpec] = {
    model.name: model
    for model in (_ds_660b(), _ds_27b(), _qwen_32b(), _qwen3_235b(), _gpt_oss_120b())
}
"""Model presets by name."""


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A point that a GPU's constants were fitted to: a run of the Oracle in one part of
    `slice_of` of the paper's cluster, model seconds."""

    model: str
    row: Literal["32K", "48K", "64K"]
    agents: int
    slice_of: int
    paper_jct_s: float
    ours_jct_s: float


class FittedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A decode step that they were fitted to, seconds: the Oracle's TPOT with a nearly idle
    cluster, `batch` sequences on each of the `ep_group` GPUs that share the experts."""

    model: str
    ep_group: int
    batch: int
    context: int
    paper_tpot_s: float
    ours_tpot_s: float


class FittedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A forward batch that they were fitted to: its tokens a second over those of a batch of
    one request (Fig 3)."""

    model: str
    requests: int
    paper_throughput: float
    ours_throughput: float


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU, and what its constants were fitted to (`python -m scenarios.calibrate_gpu`)."""

    gpu: GpuSpec
    points: tuple[Fitted, ...]
    steps: tuple[FittedStep, ...]
    batch: FittedBatch


def calibrated(name: str) -> Calibrated:
    """A preset as it was written."""
    return msgspec.json.decode(
        Path(__file__).with_name(f"{name}.json").read_bytes(), type=Calibrated
    )


GPUS: dict[str, GpuSpec] = {"h800": calibrated("h800").gpu}
"""GPU presets by name. Nothing of `h800` but its HBM is known: its constants of computing
are fitted to JCTs and TPOTs of the paper's Oracle, whose runs move no KV-Cache, and to one batch
of its Fig 3."""


def cache_compute_ratio(model: ModelSpec, append: int, context: int) -> float:
    """GB of KV-Cache to load per PFLOP of prefill (paper Table 1).

    Args:
        append: new tokens, all taken at position `context`.
        context: cached tokens to load.
    """
    attended = min(context, model.attention_top_k or context)
    per_layer = model.attention_flops * attended + model.index_flops * context
    flops = append * (model.linear_flops + model.layers * per_layer)
    return (model.token_bytes * context / 1e9) / (flops / 1e15)
