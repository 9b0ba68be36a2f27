"""The command `python -m scenarios.profile_gpu`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scenarios import profile_gpu
from scenarios.running.outcome import LACKING, WRONG

ARGUMENTS = ["--system", "h100_sxm", "--hub", "x", "--model", "ds-660b", "--out"]


class Engine:
    """Prices operations as the package does, in milliseconds."""

    def run_static_per_op(
        self, *, batch_size: int, isl: int, osl: int, prefix: int
    ) -> tuple[list[tuple[str, float, float, str]], list[object]]:
        times = {
            "context_attention": float(prefix),
            "context_qkv_gemm": 1.0 * (isl - prefix),
            "context_router_gemm": 2.0,
            "context_moe_pre_dispatch": 3.0,
            "context_moe": 10.0,
            "context_moe_post_dispatch": 4.0,
        }
        return [(name, time, 0.0, "silicon") for name, time in times.items()], []

    def predict_decode_latency(self, batch: int, context: int) -> float:
        return float(batch + context)


def test_operations_are_told_apart() -> None:
    rows = {
        (part, ep, cached, tokens): s
        for part, ep, cached, tokens, _, s in profile_gpu._prefill({8: Engine()})
    }
    assert rows["attention", 0, 8192, 512] == pytest.approx(8.192)
    assert rows["dense", 0, 0, 512] == pytest.approx(0.514)
    assert rows["experts", 8, 0, 512] == pytest.approx(0.010)
    assert rows["dispatch", 8, 0, 512] == pytest.approx(0.007)


def test_a_decode_step_is_taken_whole() -> None:
    rows = {
        (ep, batch, context): s
        for _, ep, context, _, batch, s in profile_gpu._decode({8: Engine()})
    }
    assert rows[8, 64, 8192] == pytest.approx(8.256)


def test_without_the_package_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "aiconfigurator_core", None)
    monkeypatch.setitem(sys.modules, "aiconfigurator_core.sdk.engine", None)
    assert profile_gpu.main([*ARGUMENTS, str(tmp_path / "p.csv")]) == LACKING
    assert "pip install aiconfigurator-core" in capsys.readouterr().err


def test_a_file_that_is_there_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile_gpu.main([*ARGUMENTS, str(tmp_path)]) == WRONG
    assert "--out" in capsys.readouterr().err
