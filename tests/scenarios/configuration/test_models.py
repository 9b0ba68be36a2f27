"""The presets reproduce the paper's cache-compute ratios (Table 1) within 10 %."""

import pytest

from scenarios.configuration.models import GPUS, MODELS, cache_compute_ratio

APPEND = 429
K = 1024


@pytest.mark.parametrize(
    ("model", "context", "paper"),
    [
        ("ds-660b", 16 * K, 13),
        ("ds-660b", 32721, 22),
        ("ds-660b", 64 * K, 36),
        ("qwen-32b", 16 * K, 117),
        ("qwen-32b", 64 * K, 267),
        ("qwen3-235b-a22b", 16 * K, 39),
        ("qwen3-235b-a22b", 64 * K, 60),
        ("gpt-oss-120b", 16 * K, 47),
        ("gpt-oss-120b", 64 * K, 95),
    ],
)
def test_cache_compute_ratio_is_the_papers(model: str, context: int, paper: float) -> None:
    assert cache_compute_ratio(MODELS[model], APPEND, context) == pytest.approx(paper, rel=0.1)


def test_ratio_does_not_depend_on_the_append_length() -> None:
    model = MODELS["ds-27b"]
    one, many = (cache_compute_ratio(model, append, 16 * K) * append for append in (1, 500))
    assert one == pytest.approx(many)


def test_ds_27b_has_the_parameters_its_name_says() -> None:
    assert MODELS["ds-27b"].weight_bytes == pytest.approx(27e9, rel=0.02)  # FP8: a byte each


def test_experts_are_most_but_not_all_of_a_moe_models_weights() -> None:
    for model in MODELS.values():
        if model.moe_layers:
            assert 0.5 < model.expert_bytes / model.weight_bytes < 1


def test_presets_are_filed_under_their_names() -> None:
    assert all(name == model.name for name, model in MODELS.items())
    assert all(name == gpu.name for name, gpu in GPUS.items())
