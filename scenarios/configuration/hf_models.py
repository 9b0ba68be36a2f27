"""Models from their `config.json`, as Hugging Face's hub keeps it beside the weights.

A file says how a model is built; what the testbed needs follows (paper section 6): KV-Cache
and FLOP from the attention, parameters from the shapes. Only families whose shapes are known
to mean this are taken. Biases, norms and layers that predict further tokens are left out:
they are well below a percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta

from plan.deployment import ModelSpec
from plan.errors import ScenarioError

MAX_BYTES = 2**20
"""Of a config.json; the longest in use have some ten thousand."""

Shape = Annotated[int, Meta(ge=1, le=10**8)] | None
BYTES = {"fp8": 1.0, "fp16": 2.0, "fp32": 4.0, "mxfp4": 4.25 / 8}
"""Bytes of an element, scales included."""
_DTYPES = {"bfloat16": "fp16", "float16": "fp16", "float32": "fp32"}
_INDEX_SCALE = 4
"""Bytes: an FP32 scale beside each indexer key, which is FP8."""

DENSE = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")
MIXTURES = ("mixtral", "qwen3_moe", "glm4_moe", "gpt_oss")
LATENT = ("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2")
FAMILIES = (*DENSE, *MIXTURES, *LATENT)
"""What `model_type` may be: grouped-query attention, with experts, multi-head latent attention."""


class HubModel(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario says of a model that is derived.

    Attributes:
        hf: path of a config.json, or of the directory that it is in.
        name: in reports; None: the directory's.
        kv: how the KV-Cache is held; `fp16` stands for BF16, too.
        weights: how the weights are held; "auto" is what the file says.
    """

    hf: str
    name: str | None = None
    kv: Literal["fp16", "fp8"] = "fp16"
    weights: Literal["auto", "fp16", "fp8", "mxfp4"] = "auto"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a config.json that count, under their names there."""

    model_type: str
    hidden_size: Shape = None
    num_hidden_layers: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    num_attention_heads: Shape = None
    num_key_value_heads: Shape = None
    head_dim: Shape = None
    vocab_size: Shape = None
    intermediate_size: Shape = None
    tie_word_embeddings: bool = False
    torch_dtype: str | None = None
    dtype: str | None = None
    quantization_config: dict[str, Any] | None = None
    layer_types: list[str] | None = None
    sliding_window: int | None = None
    use_sliding_window: bool = True
    max_window_layers: int = 0
    sliding_window_pattern: Shape = None
    moe_intermediate_size: Shape = None
    n_routed_experts: Shape = None
    num_experts: Shape = None
    num_local_experts: Shape = None
    num_experts_per_tok: Shape = None
    n_shared_experts: int | None = None
    first_k_dense_replace: int = 0
    moe_layer_freq: int = 1
    decoder_sparse_step: int = 1
    mlp_only_layers: list[int] = []
    q_lora_rank: int | None = None
    kv_lora_rank: Shape = None
    qk_nope_head_dim: Shape = None
    qk_rope_head_dim: Shape = None
    v_head_dim: Shape = None
    index_n_heads: Shape = None
    index_head_dim: Shape = None
    index_topk: Shape = None


def derive(asked: HubModel) -> ModelSpec:
    """The model that a config.json describes.

    Raises:
        ScenarioError: it cannot be read, or describes what the testbed has no model of.
    """
    path = Path(asked.hf)
    path = path / "config.json" if path.is_dir() else path
    return _Derivation(path, asked).spec()


class _Derivation:
    def __init__(self, path: Path, asked: HubModel) -> None:
        self._path = path
        self._asked = asked
        self._config = self._read()
        if self._config.model_type not in FAMILIES:
            self._refuse("model_type", self._config.model_type, f"derived are {_list(FAMILIES)}")

    def spec(self) -> ModelSpec:
        config, latent = self._config, self._config.model_type in LATENT
        hidden, layers = self._need("hidden_size"), self._need("num_hidden_layers")
        weights = self._weights()
        attention = self._latent_parameters() if latent else self._grouped_parameters()
        kv, scored = self._latent_kv() if latent else self._grouped_kv()
        growing = layers - self._windowed(layers)
        mixtures = self._mixtures(layers)
        experts, active, expert = self._experts() if mixtures else (0, 0, 0)
        shared = layers * attention + (layers - mixtures) * self._dense(mixtures)
        shared += mixtures * (hidden * experts + (config.n_shared_experts or 0) * expert)
        head = self._need("vocab_size") * hidden
        embedded = head if config.tie_word_embeddings else 2 * head
        routed = mixtures * experts * expert
        plain = "fp16" if weights == "mxfp4" else weights
        return ModelSpec(
            name=self._asked.name or _name(self._path),
            layers=layers,
            kv_bytes=round(kv * growing / layers),
            index_bytes=self._index_key(),
            linear_flops=2.0 * (shared + mixtures * active * expert + head),
            attention_flops=scored * growing / layers,
            attention_top_k=config.index_topk or 0,
            index_flops=2.0 * (config.index_n_heads or 0) * (config.index_head_dim or 0),
            cached_flops=self._up_projection() if latent else 0.0,
            # what is quantised leaves embeddings alone
            weight_bytes=routed * BYTES[weights] + shared * BYTES[plain] + embedded * BYTES["fp16"],
            expert_bytes=routed * BYTES[weights],
            hidden=hidden,
            moe_layers=mixtures,
            active_experts=active,
            experts=experts,
            # dispatch in FP8, combine in BF16
            activation_bytes=1.5 if weights == "fp8" else 2.0,
        )

    def _read(self) -> Config:
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ScenarioError(
                "model.hf", str(self._path), str(error.strerror), "cannot be read"
            ) from None
        try:
            if len(text) > MAX_BYTES:
                raise msgspec.ValidationError("has more than 1 MiB")
            data = msgspec.json.decode(text)
            # of a model that reads more than text
            whole = data.get("text_config", data) if isinstance(data, dict) else data
            return msgspec.convert(whole, Config)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ScenarioError(
                "model.hf", str(self._path), str(error), "is no model's config.json"
            ) from None

    def _refuse(self, key: str, value: object, remedy: str) -> NoReturn:
        """Of a model with that no model is derived; None: it lacks the key."""
        what = f"lacks {key}" if value is None else f"has {key} {value!r:.60}"
        raise ScenarioError(
            "model.hf",
            str(self._path),
            f"{remedy}; or write the fields of ModelSpec",
            f"{what}, of which no model is derived",
        )

    def _need(self, key: str) -> int:
        value = getattr(self._config, key)
        if value is None:
            self._refuse(key, None, f"{self._config.model_type} has to have it")
        return int(value)

    def _weights(self) -> str:
        if self._asked.weights != "auto":
            return self._asked.weights
        if (quantised := self._config.quantization_config) is not None:
            method = quantised.get("quant_method")
            if method not in ("fp8", "mxfp4"):
                self._refuse("quantization_config", method, "say model.weights")
            return str(method)
        given = self._config.dtype or self._config.torch_dtype or "bfloat16"
        if given not in _DTYPES:
            self._refuse("torch_dtype", given, "say model.weights")
        return _DTYPES[given]

    def _heads(self) -> tuple[int, int, int]:
        """Heads, KV heads and their dimension."""
        heads = self._need("num_attention_heads")
        width = self._config.head_dim or self._need("hidden_size") // heads
        return heads, self._config.num_key_value_heads or heads, width

    def _grouped_parameters(self) -> int:
        heads, kv_heads, width = self._heads()
        return 2 * self._need("hidden_size") * (heads + kv_heads) * width

    def _grouped_kv(self) -> tuple[float, float]:
        """Bytes per token of a layer, FLOP per pair of tokens: QK and AV."""
        heads, kv_heads, width = self._heads()
        return 2 * kv_heads * width * BYTES[self._asked.kv], 4.0 * heads * width

    def _latent_parameters(self) -> int:
        hidden, heads = self._need("hidden_size"), self._need("num_attention_heads")
        latent, rope = self._need("kv_lora_rank"), self._need("qk_rope_head_dim")
        nope, values = self._need("qk_nope_head_dim"), self._need("v_head_dim")
        queries, rank = heads * (nope + rope), self._config.q_lora_rank
        parameters = hidden * rank + rank * queries if rank else hidden * queries
        parameters += hidden * (latent + rope) + latent * heads * (nope + values)
        parameters += heads * values * hidden
        if self._config.index_topk:
            index, width = self._need("index_n_heads"), self._need("index_head_dim")
            parameters += (rank or hidden) * index * width + hidden * (width + index)
        return parameters

    def _latent_kv(self) -> tuple[float, float]:
        """Bytes per token of a layer, FLOP per pair of tokens with absorbed projections."""
        latent, rope = self._need("kv_lora_rank"), self._need("qk_rope_head_dim")
        flops = 2.0 * self._need("num_attention_heads") * (2 * latent + rope)
        return (latent + rope) * BYTES[self._asked.kv], flops

    def _up_projection(self) -> float:
        """FLOP per cached token of a layer that make keys and values of its latent."""
        widths = self._need("qk_nope_head_dim") + self._need("v_head_dim")
        return 2.0 * self._need("kv_lora_rank") * self._need("num_attention_heads") * widths

    def _index_key(self) -> int:
        return self._need("index_head_dim") + _INDEX_SCALE if self._config.index_topk else 0

    def _windowed(self, layers: int) -> int:
        """Layers that attend a window: their KV-Cache does not grow with the context."""
        config = self._config
        if config.layer_types is not None:
            for kind in config.layer_types:
                if kind not in ("full_attention", "sliding_attention"):
                    self._refuse("layer_types", kind, "layers attend all tokens or a window")
            if len(config.layer_types) != layers:
                self._refuse("layer_types", len(config.layer_types), f"there are {layers} layers")
            found = config.layer_types.count("sliding_attention")
        elif config.sliding_window is None or not config.use_sliding_window:
            return 0
        elif config.sliding_window_pattern:
            found = layers - layers // config.sliding_window_pattern
        else:
            found = max(0, layers - config.max_window_layers)
        if found == layers:
            remedy = "at least one layer has to attend all tokens"
            self._refuse("sliding_window", config.sliding_window, remedy)
        return found

    def _mixtures(self, layers: int) -> int:
        """Layers whose feed-forward part is experts."""
        config = self._config
        if config.model_type in DENSE:
            return 0
        every = config.moe_layer_freq * config.decoder_sparse_step
        if every < 1:
            self._refuse("decoder_sparse_step", every, "write 1 or more")
        return sum(
            layer >= config.first_k_dense_replace
            and layer not in config.mlp_only_layers
            and (layer + 1) % every == 0
            for layer in range(layers)
        )

    def _experts(self) -> tuple[int, int, int]:
        """How many there are, how many a token takes, and parameters of one."""
        config = self._config
        names = ("n_routed_experts", "num_experts", "num_local_experts")
        key = next((name for name in names if getattr(config, name) is not None), names[-1])
        experts, active = self._need(key), self._need("num_experts_per_tok")
        if active > experts:
            self._refuse("num_experts_per_tok", active, f"there are {experts} experts")
        width = config.moe_intermediate_size or self._need("intermediate_size")
        return experts, active, _gated(self._need("hidden_size"), width)

    def _dense(self, mixtures: int) -> int:
        """Parameters of the feed-forward part of a layer without experts."""
        if mixtures == self._need("num_hidden_layers"):
            return 0
        return _gated(self._need("hidden_size"), self._need("intermediate_size"))


def _gated(hidden: int, width: int) -> int:
    """Parameters of a gated feed-forward part: gate, up and down."""
    return 3 * hidden * width


def _name(path: Path) -> str:
    name = path.absolute().parent.name if path.name == "config.json" else path.stem
    return name or "model"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
