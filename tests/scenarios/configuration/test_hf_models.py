"""Models derived from their config.json agree with what is published of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.deployment import ModelSpec
from plan.errors import ScenarioError
from scenarios.configuration.hf_models import MAX_BYTES, HubModel, derive
from scenarios.configuration.loading import load_scenario, plain
from scenarios.configuration.models import MODELS, cache_compute_ratio
from tests.examples import tries

CONFIGS = Path(__file__).with_name("hf")
K = 1024


def derived(config: str, **asked: Any) -> ModelSpec:
    return derive(HubModel(hf=str(CONFIGS / config), **asked))


def changed(place: Path, name: str, **keys: object) -> HubModel:
    """A config of ours with some keys changed; those that are `...` are taken out."""
    config = json.loads((CONFIGS / name / "config.json").read_text()) | keys
    path = place / "config.json"
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))
    return HubModel(hf=str(path))


@pytest.mark.parametrize(
    ("name", "parameters", "active"),
    [
        ("DeepSeek-V3", 671e9, 37e9),
        ("DeepSeek-V3.2", 671e9, 37e9),
        ("Qwen2.5-32B", 32.5e9, 32.5e9),
        ("Qwen3-235B-A22B", 235e9, 22e9),
        ("Llama-3-70B", 70.6e9, 70.6e9),
        ("Mistral-7B-v0.3", 7.25e9, 7.25e9),
    ],
)
def test_parameters_are_the_published_ones(name: str, parameters: float, active: float) -> None:
    model = derived(name, weights="fp16")
    assert model.weight_bytes / 2 == pytest.approx(parameters, rel=0.02)
    # the input embedding is read, not multiplied
    assert model.linear_flops / 2 == pytest.approx(active, rel=0.04)


@pytest.mark.parametrize(
    ("name", "preset", "asked"),
    [
        ("DeepSeek-V3.2", "ds-660b", {"kv": "fp8"}),
        ("Qwen2.5-32B", "qwen-32b", {}),
        ("Qwen3-235B-A22B", "qwen3-235b-a22b", {"kv": "fp8", "weights": "fp8"}),
        ("gpt-oss-120b", "gpt-oss-120b", {"kv": "fp8"}),
    ],
)
def test_what_is_derived_is_the_preset(name: str, preset: str, asked: dict[str, str]) -> None:
    model, known = derived(name, **asked), MODELS[preset]
    near = {"linear_flops": 0.04, "weight_bytes": 0.02}
    for field in set(ModelSpec.__struct_fields__) - {"name"}:
        expected = pytest.approx(getattr(known, field), rel=near.get(field, 1e-9))
        assert getattr(model, field) == expected, field


@pytest.mark.parametrize(
    ("name", "kv", "at_16k", "at_64k"),
    [
        ("Qwen2.5-32B", "fp16", 117, 267),
        ("gpt-oss-120b", "fp8", 47, 95),
        ("Qwen3-235B-A22B", "fp8", 39, 60),
        ("DeepSeek-V3.2", "fp8", 13, 36),
    ],
)
def test_cache_compute_ratios_are_the_papers(
    name: str, kv: str, at_16k: float, at_64k: float
) -> None:
    model = derived(name, kv=kv)
    assert cache_compute_ratio(model, 429, 16 * K) == pytest.approx(at_16k, rel=0.1)
    assert cache_compute_ratio(model, 429, 64 * K) == pytest.approx(at_64k, rel=0.1)


def test_without_sparse_attention_a_model_loads_a_fraction_for_what_it_computes() -> None:
    dense, sparse = (derived(name, kv="fp8") for name in ("DeepSeek-V3", "DeepSeek-V3.2"))
    for context in (16 * K, 64 * K):
        ratio = cache_compute_ratio(dense, 429, context)
        assert 3 < ratio < 6 < cache_compute_ratio(sparse, 429, context) / 2


def test_grouped_queries_share_their_kv_cache() -> None:
    llama = derived("Llama-3-70B")
    assert llama.kv_bytes == 2 * 8 * 128 * 2
    assert llama.token_bytes == 327_680
    assert llama.experts == llama.moe_layers == llama.index_bytes == 0


def test_the_cache_in_fp8_is_half_and_the_indexers_key_stays() -> None:
    wide, narrow = derived("DeepSeek-V3.2"), derived("DeepSeek-V3.2", kv="fp8")
    assert wide.kv_bytes == 2 * narrow.kv_bytes
    assert wide.index_bytes == narrow.index_bytes == 132


def test_layers_that_attend_a_window_keep_nothing_that_grows(tmp_path: Path) -> None:
    whole = derive(changed(tmp_path, "gpt-oss-120b", sliding_window=None, layer_types=...))
    half = derived("gpt-oss-120b")
    assert half.kv_bytes * 2 == whole.kv_bytes
    assert half.attention_flops * 2 == whole.attention_flops
    last = changed(tmp_path, "Qwen2.5-32B", use_sliding_window=True, max_window_layers=48)
    assert derive(last).kv_bytes == derived("Qwen2.5-32B").kv_bytes * 48 / 64
    sixth = changed(tmp_path, "Mistral-7B-v0.3", sliding_window=1024, sliding_window_pattern=8)
    assert derive(sixth).kv_bytes == derived("Mistral-7B-v0.3").kv_bytes * 4 / 32


def test_a_model_that_reads_more_than_text_has_its_text_s_model(tmp_path: Path) -> None:
    inner = json.loads((CONFIGS / "Llama-3-70B/config.json").read_text())
    path = tmp_path / "vision.json"
    path.write_text(json.dumps({"model_type": "some_vlm", "text_config": inner}))
    assert derive(HubModel(hf=str(path), name="Llama-3-70B")) == derived("Llama-3-70B")


@pytest.mark.parametrize(
    ("name", "keys", "complaint"),
    [
        (
            "Llama-3-70B",
            {"model_type": "mamba2"},
            "has model_type 'mamba2', of which no model is derived; derived are",
        ),
        (
            "Llama-3-70B",
            {"num_attention_heads": ...},
            "lacks num_attention_heads, of which no model is derived; llama",
        ),
        ("Llama-3-70B", {"hidden_size": -1}, "Expected `int` >= 1"),
        ("Llama-3-70B", {"torch_dtype": "int4"}, "has torch_dtype 'int4'"),
        (
            "Llama-3-70B",
            {"quantization_config": {"quant_method": "awq"}},
            "has quantization_config 'awq', of which no model is derived; say model.weights",
        ),
        (
            "Llama-3-70B",
            {"layer_types": ["linear_attention"] * 80},
            "has layer_types 'linear_attention'",
        ),
        ("gpt-oss-120b", {"num_hidden_layers": 12}, "has layer_types 36"),
        ("Mistral-7B-v0.3", {"sliding_window": 4096}, "has sliding_window 4096"),
        ("Qwen3-235B-A22B", {"num_experts_per_tok": 1000}, "has num_experts_per_tok 1000"),
        ("Qwen3-235B-A22B", {"decoder_sparse_step": 0}, "has decoder_sparse_step 0"),
    ],
)
def test_what_cannot_be_derived_is_refused_by_name(
    tmp_path: Path, name: str, keys: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        derive(changed(tmp_path, name, **keys))
    assert complaint in str(refused.value)
    assert str(refused.value).startswith("model.hf: ")


def test_what_is_no_config_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("", "[]", '"text"', "\xff", "[" * 100_000, " " * (MAX_BYTES + 1)):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(ScenarioError, match=r"model\.hf"):
            derive(HubModel(hf=str(path)))
    with pytest.raises(ScenarioError, match="No such file"):
        derive(HubModel(hf=str(tmp_path / "nowhere")))


SHAPES = [
    key
    for key, value in json.loads((CONFIGS / "DeepSeek-V3.2/config.json").read_text()).items()
    if isinstance(value, int)
]


@tries(100)
@given(
    st.dictionaries(
        st.sampled_from(SHAPES),
        st.none() | st.integers(-5, 300) | st.integers() | st.floats() | st.text(max_size=3),
    )
)
def test_no_config_raises_anything_but_a_scenario_error(
    tmp_path_factory: pytest.TempPathFactory, keys: dict[str, object]
) -> None:
    place = tmp_path_factory.mktemp("config")
    try:
        model = derive(changed(place, "DeepSeek-V3.2", **keys))
    except ScenarioError:
        return
    assert model.kv_bytes > 0
    assert model.weight_bytes > model.expert_bytes >= 0


def test_a_scenario_names_a_config_beside_it_and_keeps_what_follows(tmp_path: Path) -> None:
    changed(tmp_path, "Qwen2.5-32B")
    path = tmp_path / "mine.yaml"
    path.write_text(
        "model: {hf: config.json, name: qwen, kv: fp8}\n"
        "workload: {source: {generator: 32K}, agents: 1}\n"
    )
    scenario = load_scenario(path)
    assert scenario.model_spec == derived("Qwen2.5-32B", name="qwen", kv="fp8")
    assert plain(scenario)["model"]["kv_bytes"] == scenario.model_spec.kv_bytes


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("{hf: 7}", "model.hf: 7 is not accepted; write text"),
        ("{hf: a, kvs: fp8}", 'model.kvs: "fp8" is not a known key; did you mean kv?'),
        ("{hf: a, kv: int4}", 'model.kv: "int4" is not accepted; write one of fp16, fp8'),
    ],
)
def test_a_wrong_key_of_a_derived_model_is_named(model: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(
            Path(__file__).parents[3] / "scenarios/library/quickstart.yaml", [f"model={model}"]
        )
    assert complaint in str(refused.value)
