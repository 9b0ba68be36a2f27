"""Claims: constants are found that the Oracle's points ask for, and no point is simulated twice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from plan.deployment import GpuSpec
from scenarios import calibrate_gpu
from scenarios.calibrate_gpu import CONSTANTS, FITTED
from scenarios.configuration.models import GPUS, Calibrated, calibrated
from scenarios.reproduction.comparison import Measured
from scenarios.reproduction.wanted import jcts_s

PAPER = jcts_s()
OFF = {"flops": 1.3, "layer_s": 0.8, "request_layer_s": 1.1}
"""How far the constants that explain all points are from the preset's; those of decoding are what
decode steps ask for."""

WEIGHTS = np.random.default_rng(0).uniform(-0.5, 0.5, (len(FITTED), len(CONSTANTS)))


def explained(gpu: GpuSpec, number: int, case: object) -> float:
    """A point's JCT in a world where each point weighs the constants in its own way."""
    jct_s = PAPER[case]  # type: ignore[index]
    for i, name in enumerate(CONSTANTS):
        target = getattr(GPUS["h800"], name) * OFF.get(name, 1.0)
        jct_s *= (getattr(gpu, name) / target) ** WEIGHTS[number, i]
    return jct_s


def test_the_constants_that_explain_all_points_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(scenarios, kept, jobs):  # type: ignore[no-untyped-def]
        for (place, case), scenario in scenarios.items():
            jct_s = explained(scenario.gpu_spec, list(FITTED).index(case), case)
            yield (place, case), Measured(jct_s=jct_s, ttft_mean_s=1.0, requests=1, cpu_s=0.0)

    def step_errors(gpu: GpuSpec) -> list[float]:
        kept = CONSTANTS[-2:]
        return [float(np.log(getattr(gpu, n) / getattr(GPUS["h800"], n))) for n in kept]

    monkeypatch.setattr(calibrate_gpu, "measured", measured)
    monkeypatch.setattr(calibrate_gpu, "_step_errors", step_errors)
    assert calibrate_gpu.main(["--out", str(tmp_path), "--steps", "8"]) == 0
    found = msgspec.json.decode((tmp_path / "h800.json").read_bytes(), type=Calibrated)
    for name in CONSTANTS:
        wanted = getattr(GPUS["h800"], name) * OFF.get(name, 1.0)
        assert getattr(found.gpu, name) == pytest.approx(wanted, rel=0.02), name
    assert [point.ours_jct_s for point in found.points] == pytest.approx(
        [point.paper_jct_s for point in found.points], rel=0.01
    )


def test_nothing_is_fitted_to_but_the_oracle() -> None:
    assert {case.system for case in FITTED} == {"oracle"}
    assert all(case in PAPER for case in FITTED)


def test_the_preset_is_one_of_these_points() -> None:
    preset = calibrated("h800")
    known = {(case.model, case.row, case.agents) for case in FITTED}
    assert {(p.model, p.row, p.agents) for p in preset.points} == known
    assert {p.paper_jct_s for p in preset.points} <= set(PAPER.values())
