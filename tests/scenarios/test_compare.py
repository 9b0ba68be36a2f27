"""The command `python -m scenarios.compare`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.compare import main
from scenarios.running.outcome import DONE, WRONG
from tests.scenarios.saved import saved_run

pytestmark = pytest.mark.slow


def test_runs_are_set_side_by_side_on_standard_output_and_on_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = saved_run(tmp_path / "one")
    other = saved_run(tmp_path / "<other>", workload__agents=7, description="'[bold]x'", noise=0.3)
    out = tmp_path / "page"
    assert main([str(one), str(other), "--out", str(out)]) == DONE
    said = capsys.readouterr().out
    assert "workload.agents" in said
    assert "[bold]x" in said
    assert "jct_s" in said
    page = (out / "comparison.html").read_text()
    assert "&lt;other&gt;" in page
    assert "<other>" not in page
    assert "more figures that differ" in page
    assert 'src="data:image/png;base64,' in page
    told = json.loads((out / "comparison.json").read_text())
    assert told["runs"] == ["one", "<other>"]
    assert {"key": "workload.agents", "values": [64, 7]} in told["settings"]


def test_the_same_run_differs_in_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(saved_run(tmp_path / "run"))
    assert main([run, run]) == DONE
    assert "All settings are the same." in capsys.readouterr().out


def test_one_run_is_not_enough_and_what_is_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = saved_run(tmp_path / "run")
    assert main([str(run)]) == WRONG
    assert main([str(run), str(tmp_path)]) == WRONG
    assert main([str(run), str(run), "--out", str(run)]) == WRONG
    first, second, third = capsys.readouterr().err.splitlines()
    assert "is one run; name another run, too" in first
    assert "holds no run's report" in second
    assert "is not empty" in third
