"""Claims: the rate is found that the one point asks for, and nothing else is asked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from scenarios import calibrate_storage
from scenarios.reproduction.cases import STORAGE_POINT
from scenarios.reproduction.comparison import Measured

RIGHT = 7.3e9


def test_the_rate_that_explains_the_point_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measured(scenarios, kept, fleet):  # type: ignore[no-untyped-def]
        for case, scenario in scenarios.items():
            asked.append(case)
            rate = scenario.cluster.storage.read_bytes_per_s
            jct_s = 1883 * (0.6 + 0.4 * RIGHT / rate)
            yield case, Measured(jct_s=jct_s, ttft_mean_s=1.0, requests=1, cpu_s=0.0)

    monkeypatch.setattr(calibrate_storage, "measured", measured)
    assert calibrate_storage.main(["--out", str(tmp_path)]) == 0
    fitted = msgspec.json.decode((tmp_path / "storage.json").read_bytes())
    assert float(fitted["read_rate"].removesuffix(" GB/s")) == pytest.approx(7.3, rel=0.02)
    assert abs(fitted["error"]) < 0.01
    assert set(asked) == {STORAGE_POINT}


def test_it_is_fitted_to_a_point_of_basic() -> None:
    assert STORAGE_POINT.system == "basic"
