"""Claims: the constants are found that their points ask for, and nothing else is asked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from scenarios import calibrate_storage
from scenarios.reproduction.cases import BLOCK_POINT, READ_POINT
from scenarios.reproduction.comparison import Measured
from scenarios.reproduction.wanted import jcts_s

COST_S, RATE = 21e-6, 7.3e9


def test_the_constants_that_explain_their_points_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measured(scenarios, kept, fleet):  # type: ignore[no-untyped-def]
        for case, scenario in scenarios.items():
            asked.append(case)
            cost_s, rate = scenario.cluster.block_cost, scenario.cluster.storage.read_bytes_per_s
            more = cost_s / COST_S if case == BLOCK_POINT else RATE / rate + 0.1 * cost_s / COST_S
            jct_s = jcts_s()[case] * (0.6 + 0.4 * more - (case == READ_POINT) * 0.04)
            yield case, Measured(jct_s=jct_s, ttft_mean_s=1.0, requests=1, cpu_s=0.0)

    monkeypatch.setattr(calibrate_storage, "measured", measured)
    assert calibrate_storage.main(["--out", str(tmp_path)]) == 0
    fitted = msgspec.json.decode((tmp_path / "storage.json").read_bytes())
    cost, rate = (text.split()[0] for text in fitted["constants"].values())
    assert float(cost) == pytest.approx(21, rel=0.02)
    assert float(rate) == pytest.approx(7.3, rel=0.02)
    assert all(abs(point["error"]) < 0.01 for point in fitted["points"])
    assert set(asked) == {BLOCK_POINT, READ_POINT}


def test_they_are_fitted_to_points_of_basic() -> None:
    assert {BLOCK_POINT.system, READ_POINT.system} == {"basic"}
