"""Claims: a GPU's profile is read whole, or refused by what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nodes.timing.timing import timing_of
from plan.errors import ScenarioError
from scenarios.configuration import library
from scenarios.configuration.gpu_profiles import SHIPPED, outside, read_profile, shipped
from scenarios.configuration.loading import load_scenario, resolved_yaml
from scenarios.configuration.models import GPUS, MODELS
from scenarios.planning.plan import make_plan

HEAD = """\
# name: mine
# model: ds-27b
# source: a stop-watch
# flops: 1e15
# hbm_bytes: 80e9
# hbm_bytes_per_s: 3e12
part,ep,cached,tokens,requests,seconds
"""
ROWS = """\
attention,0,0,1,1,0.01
attention,0,0,512,1,0.02
attention,0,8192,1,1,0.03
attention,0,8192,512,1,0.04
dense,0,0,512,1,0.005
decode,8,1024,0,1,0.02
"""


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_profile_is_a_gpu_with_tables(tmp_path: Path) -> None:
    gpu = read_profile(write(tmp_path / "p.csv", HEAD + ROWS))
    assert (gpu.name, gpu.flops, gpu.hbm_bytes) == ("mine", 1e15, 80e9)
    profile = gpu.profile
    assert profile is not None
    assert (profile.model, profile.source) == ("ds-27b", "a stop-watch")
    assert profile.attention.xs == (0.0, 8192.0)
    assert profile.attention.seconds == ((0.01, 0.02), (0.03, 0.04))
    assert profile.experts is None
    assert profile.decode[8].seconds == ((0.02,),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD.replace("# model: ds-27b\n", "") + ROWS, "wrong in its header: .*`model`"),
        (HEAD.replace("80e9", "lots") + ROWS, r"wrong in its header: .*\$.hbm_bytes"),
        (HEAD.replace("tokens,", "") + ROWS, "part,ep,cached,requests,seconds. heads"),
        (HEAD + ROWS + "linear,0,0,1,1,0.1\n", r"wrong in its line 14: .*\$.part"),
        (HEAD + ROWS + "dense,0,0,9,1,-1\n", r"wrong in its line 14: .*\$.seconds"),
        (HEAD + ROWS + "attention,0,9,1,1,0.1\n", r"has attention but for \(9, 512\)"),
        (HEAD + ROWS.replace("dense", "experts"), "has no dense"),
        (HEAD + ROWS.replace("decode", "experts"), "has no decode"),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        read_profile(write(tmp_path / "p.csv", text))


def test_a_missing_profile_is_refused_with_those_that_are_shipped() -> None:
    with pytest.raises(ScenarioError, match=r"No such file .* one of b200-ds-660b, "):
        read_profile("nowhere.csv")


def test_shipped_profiles_are_of_models_that_are_known() -> None:
    assert len(shipped()) == len(list(SHIPPED.iterdir())) == 12
    for name in shipped():
        profile = read_profile(name).profile
        assert profile is not None
        assert profile.model in MODELS
        assert name.endswith(profile.model)
        assert "aiconfigurator-core" in profile.source


def test_a_scenario_with_a_profile_holds_its_tables_and_goes_by_them(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", HEAD + ROWS)
    tiny = library.find(Path("quickstart"))
    given = ["engine=simulate", "workload.source={generator: 32K}"]
    scenario = load_scenario(tiny, [*given, f"gpu={{profile: {path}}}"])
    assert scenario.gpu_spec == read_profile(path)
    again = tmp_path / "again.yaml"
    again.write_text(resolved_yaml(scenario))
    (tmp_path / "p.csv").unlink()
    assert load_scenario(again, []).gpu_spec == scenario.gpu_spec
    planned = make_plan(scenario)
    timing = timing_of(planned.plan, "prefill")
    assert timing.predictor.attention_s(8192, 512) == 0.04
    assert timing.truth.attention_s([(0, 1)]) == 0.01
    assert any("measured up to 512" in warning for warning in planned.warnings)


def test_another_model_than_was_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"model: .qwen-32b. is not what .* with .ds-27b."):
        load_scenario(
            library.find(Path("quickstart")),
            [f"gpu={{profile: {write(tmp_path / 'p.csv', HEAD + ROWS)}}}", "model=qwen-32b"],
        )


def test_what_lies_outside_of_the_tables_is_said() -> None:
    profile = read_profile("h100-ds-660b").profile
    assert profile is not None
    assert outside(profile, 131072, 8192, 8) == []
    cached, tokens, group = outside(profile, 131073, 8193, 16)
    assert "131,073 cached tokens" in cached
    assert "8,193 new tokens" in tokens
    assert "the times of 8 are taken" in group


def test_what_stands_beside_a_preset_or_a_profile_is_taken_in_its_place(tmp_path: Path) -> None:
    tiny = Path(__file__).parents[1] / "tiny.yaml"
    large = load_scenario(tiny, ["gpu={preset: h800, hbm_bytes: 141e9}"]).gpu_spec
    assert large == msgspec.structs.replace(GPUS["h800"], hbm_bytes=141e9)
    path = write(tmp_path / "p.csv", HEAD + ROWS)
    given = [f"gpu={{profile: {path}, hbm_bytes: 141e9}}", "model=ds-27b"]
    profiled = load_scenario(tiny, given).gpu_spec
    assert profiled == msgspec.structs.replace(read_profile(path), hbm_bytes=141e9)


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        ("{preset: h900}", "gpu.preset: .*h900.*write one of h800"),
        ("{preset: h800, hbm: 141e9}", "gpu.hbm: .*is not a known key; did you mean hbm_bytes"),
    ],
)
def test_what_is_no_preset_or_no_field_of_one_is_refused(gpu: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        load_scenario(Path(__file__).parents[1] / "tiny.yaml", [f"gpu={gpu}"])
