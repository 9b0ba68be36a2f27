"""Claims: parts of a sweep that run by themselves make one sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.running.outcome import DONE
from tests.scenarios.running.test_sweep import run, scenario_file

pytestmark = pytest.mark.slow


def test_parts_share_a_directory_and_the_last_one_writes_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scenario_file(tmp_path, {"workload.agents": [1, 2]}, systems=["basic"])
    out = tmp_path / "out"
    assert run(path, out, "--shard", "2/2") == DONE
    assert "part 2 of 2: 1 of 2 points are there; no report yet" in capsys.readouterr().out
    assert not (out / "sweep.html").exists()
    assert run(path, out, "--shard", "1/2") == DONE
    assert "points done] agents 1" in capsys.readouterr().err
    assert (out / "sweep.html").exists()
    assert len(json.loads((out / "sweep.json").read_bytes())["points"]) == 2
