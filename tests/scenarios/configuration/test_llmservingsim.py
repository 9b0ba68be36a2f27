"""Claims: what LLMServingSim's profiler wrote is a GPU's profile, or refused by what is wrong.

The folder beside this file has rows of its tables as they stand in casys-kaist/LLMServingSim,
`profiler/perf/RTXPRO6000/Qwen/Qwen3-30B-A3B-Instruct-2507/bf16` (MIT licence).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nodes.timing.profiled import Profiled
from plan.errors import ScenarioError
from scenarios.configuration.gpu_profiles import outside
from scenarios.configuration.loading import load_scenario, resolved_yaml
from scenarios.configuration.schema import Scenario
from scenarios.planning.plan import make_plan

FOLDER = Path(__file__).with_name("llmservingsim") / "RTXPRO6000/Qwen3-30B-A3B/bf16/tp1"
TINY = Path(__file__).parents[1] / "tiny.yaml"
LAYERS = 48
MODEL = (
    "{name: qwen3-30b-a3b, layers: 48, kv_bytes: 2048, linear_flops: 6.6e9, hidden: 2048,"
    " attention_flops: 16384, weight_bytes: 61e9, expert_bytes: 57e9, moe_layers: 48,"
    " active_experts: 8, experts: 128}"
)


def scenario(folder: Path, *more: str) -> Scenario:
    gpu = f"gpu={{profile: {folder}, flops: 5e14}}"
    return load_scenario(TINY, [f"model={MODEL}", gpu, "scale.layer_groups=2", *more])


def copied(tmp_path: Path, name: str = "tp1") -> Path:
    folder = tmp_path / "perf" / name
    shutil.copytree(FOLDER, folder)
    return folder


def us(*times: float) -> float:
    return sum(times) / 1e6


def test_times_of_a_layer_become_those_of_a_forward() -> None:
    gpu = scenario(FOLDER).gpu_spec
    assert gpu.profile is not None
    assert (gpu.name, gpu.profile.model) == ("RTXPRO6000", "qwen3-30b-a3b")
    assert gpu.hbm_bytes == pytest.approx(94.97 * 2**30)
    assert gpu.hbm_bytes_per_s == pytest.approx(1597.6e9)
    assert "Qwen/Qwen3-30B-A3B-Instruct-2507" in gpu.profile.source
    # a chunk of 16 behind 8: a token looks at 16 in the mean; and behind all that was measured
    times = Profiled(gpu.profile, scenario(FOLDER).model_spec, 8, exchanges=False)
    assert times.attention_s([(0, 16)]) == pytest.approx(LAYERS * us(8.01067), rel=1e-3)
    assert times.attention_s([(16384, 16)]) == pytest.approx(
        LAYERS * us(354.038 + (400.279 - 354.038) * (16392 - 15764) / (17408 - 15764)), rel=1e-3
    )
    # two norms in a layer, one at the end; a head for the one token that is sampled
    once = us(5.98367, 14.507, 421.549, 10.0373)
    layer = us(2 * 6.21883, 115.083, 45.3547, 133.579, 11.9363)
    dense_s = times.own_layer_s([(0, 2048)]) * LAYERS - times.attention_s([(0, 2048)])
    assert dense_s == pytest.approx(LAYERS * layer + once, rel=1e-3)
    # 256 tokens of each of 8 GPUs: all 16 experts of one are busy
    assert times.expert_layer_s(256) == pytest.approx(us(175.777), rel=1e-3)
    # of a decode step everything: attention, layers, experts for 64 from each of 8, heads
    step_s = LAYERS * us(1465.94, 145.196) + us(452.045, 38.4213) + dense_of(64)
    assert times.decode_step_s(64, 64 * 16384, 0) == pytest.approx(step_s, rel=1e-3)


def dense_of(tokens: int) -> float:
    """Between 1 and 2048 tokens: seconds without heads."""
    first = LAYERS * us(2 * 2.165, 7.60533, 3.882, 8.544, 2.357) + us(2.81567, 2.00533)
    last = LAYERS * us(2 * 6.21883, 115.083, 45.3547, 133.579, 11.9363) + us(5.98367, 14.507)
    return first + (last - first) * (tokens - 1) / 2047


def test_a_run_goes_by_it_and_warns_beyond() -> None:
    asked = scenario(FOLDER, "systems=[dualpath]")
    assert make_plan(asked).plan.gpu.profile == asked.gpu_spec.profile
    assert asked.gpu_spec.profile is not None
    assert outside(asked.gpu_spec.profile, 40_000, 500, 8) != []
    assert outside(asked.gpu_spec.profile, 10_000, 500, 8) == []


def test_a_resolved_scenario_needs_the_folder_no_longer(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    given = scenario(folder, "gpu.hbm_bytes=96e9", "gpu.hbm_bytes_per_s=16e11")
    shutil.rmtree(folder)
    again = tmp_path / "again.yaml"
    again.write_text(resolved_yaml(given))
    assert load_scenario(again, []).gpu_spec == given.gpu_spec


def test_older_tables_name_what_is_cached(tmp_path: Path) -> None:
    """`kv_prefill`, and neither kernels nor GPUs that share the experts."""
    folder = copied(tmp_path)
    lines = (folder / "attention.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines]
    old = ["prefill_chunk,kv_prefill,n_decode,kv_decode,time_us"] + [
        ",".join([row[1], str(float(row[2]) - float(row[1]) / 2), *row[3:5], row[6]])
        for row in rows
    ]
    (folder / "attention.csv").write_text("\n".join(line for line in old if ",-" not in line))
    more = ("gpu.hbm_bytes=96e9", "gpu.hbm_bytes_per_s=16e11")
    profile, same = scenario(folder, *more).gpu_spec.profile, scenario(FOLDER).gpu_spec.profile
    assert profile is not None
    assert same is not None
    assert profile.attention == same.attention
    assert profile.decode == same.decode


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("attention.csv", "n_decode", "decodes", "attention.csv that has no column n_decode"),
        ("dense.csv", "2.165", "fast", r"dense.csv that is wrong in line 6: .*\$.time_us"),
        ("moe.csv", "8,512,2,", "8,512,-2,", r"moe.csv that is wrong in line 10: .*activated"),
        ("per_sequence.csv", "", None, "per_sequence.csv that cannot be read: No such file"),
        ("moe.csv", "", None, "has no moe.csv; name the profile of qwen3-30b-a3b"),
        (
            "attention.csv",
            "attention,0,0",
            "attention,1,0",
            "attention.csv that has no rows of dec",
        ),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, file: str, before: str, after: str | None, said: str
) -> None:
    folder = copied(tmp_path)
    if after is None:
        (folder / file).unlink()
    else:
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace(before, after))
    with pytest.raises(ScenarioError, match=said):
        scenario(folder)


def test_times_of_several_gpus_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="has times of GPUs that share a layer; name tp1"):
        scenario(copied(tmp_path, "tp2"))


def test_what_no_file_tells_has_to_be_written_beside_it() -> None:
    with pytest.raises(ScenarioError, match=r"gpu\.flops: is missing; write a number"):
        load_scenario(TINY, [f"model={MODEL}", f"gpu={{profile: {FOLDER}}}"])
