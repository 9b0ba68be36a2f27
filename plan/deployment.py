"""What is served, by what, under which policies: the deployment half of a plan."""

from __future__ import annotations

from typing import Literal

import msgspec

from plan.gpu_profile import GpuProfile


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An LLM as the testbed needs it (paper section 6).

    Attributes:
        layers: number of layers.
        kv_bytes: attended KV-Cache, bytes per token per layer (MLA latent, or K and V).
        index_bytes: sparse-attention indexer key, bytes per token per layer (0: none).
        linear_flops: FLOP per token outside attention scores (2 x active parameters).
        attention_flops: FLOP per (token, attended token, layer).
        attention_top_k: attended tokens are min(context, top_k); 0 means all of them.
        index_flops: FLOP per (token, context token, layer) of the indexer.
        cached_flops: FLOP per (cached token, layer) of a forward: the latent's up-projection.
        weight_bytes: all weights; expert_bytes: the part sharded over the EP group.
        hidden: hidden size; moe_layers: layers with an AllToAll; active_experts: routed
            experts per token, out of `experts` in each MoE layer; activation_bytes: bytes
            per hidden element on the wire.
    """

    name: str
    layers: int
    kv_bytes: int
    index_bytes: int = 0
    linear_flops: float
    attention_flops: float
    attention_top_k: int = 0
    index_flops: float = 0.0
    cached_flops: float = 0.0
    weight_bytes: float
    expert_bytes: float = 0.0
    hidden: int
    moe_layers: int = 0
    active_experts: int = 0
    experts: int = 0
    activation_bytes: float = 1.0

    @property
    def token_bytes(self) -> int:
        """KV-Cache of one token over all layers, bytes."""
        return self.layers * (self.kv_bytes + self.index_bytes)


class GpuSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU, as fast as it really is and not at its peak.

    Attributes:
        flops: rate of linear layers, attention and indexer of a forward batch, and of a decode
            step's linear layers, FLOP/s; decode_attention_flops: of its attention and indexer
            (0: the same).
        hbm_bytes: HBM capacity, bytes; hbm_bytes_per_s: HBM bandwidth, bytes/s.
        layer_s: the least that a layer of a forward batch takes, seconds (the host launches its
            kernels while the GPU works); request_layer_s: what every request adds to its work
            (gathering its KV-Cache, kernels of its own).
        decode_layer_s: what a layer with an AllToAll costs in a decode step;
            decode_request_layer_s: what every sequence adds to a layer.
        profile: tables of times that take the place of all that but HBM capacity.
    """

    name: str
    flops: float
    decode_attention_flops: float = 0.0
    hbm_bytes: float
    hbm_bytes_per_s: float
    layer_s: float = 0.0
    request_layer_s: float = 0.0
    decode_layer_s: float = 0.0
    decode_request_layer_s: float = 0.0
    profile: GpuProfile | None = None


class BlockLayout(msgspec.Struct, frozen=True, kw_only=True):
    """How KV-Cache is cut (paper section 1); the same on disk, in DRAM and in HBM.

    A Full Block is `groups` Layer Blocks, each standing for `layers / groups` layers of
    `tokens` tokens. On the wire a Layer Block is `wire_bytes` long; the byte scale of the
    run is chosen so that this is exact.
    """

    tokens: int
    groups: int
    wire_bytes: int

    def blocks(self, tokens: int) -> int:
        """Blocks that hold `tokens` tokens, the last perhaps partly filled."""
        return -(-tokens // self.tokens)


class System(msgspec.Struct, frozen=True, kw_only=True):
    """A compared system as a set of features (paper sections 4 and 7).

    Attributes:
        io: False is the Oracle: no disk reads, no H2D/D2H, no PD transfer.
        layerwise: load layer i+1 while layer i computes; False loads a whole request first.
        paths: `pe` reads on the prefill side only; `dual` may read on either.
            `split` divides one request's read so that both sides finish together.
        scheduler: an inter-engine policy, `dualpath` (paper section 4) unless another is named,
            or a plug-in.
        quota: whether forward batches are cut to the compute quota.
        packing: a plug-in that forms them instead.
        dram_pool: decode nodes keep KV-Cache in DRAM after its use, for later turns.
    """

    name: str
    io: bool = True
    layerwise: bool = True
    paths: Literal["pe", "dual", "split"] = "dual"
    scheduler: str = "dualpath"
    quota: bool = True
    dram_pool: bool = False
    packing: str | None = None


class SchedulerConstants(msgspec.Struct, frozen=True, kw_only=True):
    """Constants of the inter- and intra-engine schedulers (paper section 4).

    Attributes:
        alpha_tokens: a disk read queue up to this is short. beta_tokens: an engine with
            more unfinished tokens gets nothing.
        quota_s: compute quota of a forward batch (predicted attention time), seconds.
        fetch_interval_s: how often a leader engine reports and fetches, and how long an idle group
            waits for more before it closes a batch, without layerwise prefill; seconds.
        reads_in_flight: requests a node reads from storage at once; the others wait in
            its disk read queue.
    """

    alpha_tokens: float
    beta_tokens: float
    quota_s: float = 0.3
    fetch_interval_s: float = 0.05
    reads_in_flight: int = 2


WORD = 4


MIN_BLOCK_BYTES = 5 * WORD
