"""Claims: the command hunts, says what it found, and writes what it found as scenarios."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from scenarios import chaos
from scenarios.configuration.loading import load_scenario
from scenarios.running.outcome import DONE, FAILED

TINY = str(Path(__file__).parent / "tiny.yaml")
ASKED = [TINY, "--set", "workload.agents=4", "--systems", "dualpath", "--jobs", "1"]


def test_fifty_seeds_of_a_tiny_cluster_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chaos.main([*ASKED, "--seeds", "50", "--out", str(tmp_path / "one")]) == DONE
    assert "50 trials" in capsys.readouterr().out
    found = json.loads((tmp_path / "one" / "chaos.json").read_text())
    assert found["failing"] == []
    assert found["faults"] > 50
    assert len(found["digests"]["dualpath"]) == 50
    again = ["--seeds", "10", "--first", "11", "--out", str(tmp_path / "two")]
    assert chaos.main([*ASKED, *again]) == DONE
    other = json.loads((tmp_path / "two" / "chaos.json").read_text())
    assert other["digests"]["dualpath"].items() <= found["digests"]["dualpath"].items()


def test_what_does_not_hold_ends_in_a_scenario_of_its_fewest_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with patch("scenarios.running.chaos._late", lambda faults, told, whole_s: ["it is late"]):
        status = chaos.main([*ASKED, "--seeds", "1", "--out", str(tmp_path / "out")])
    assert status == FAILED
    assert "dualpath, seed 1: it is late; see" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "chaos.json").read_text())
    assert [trial["problems"] for trial in found["failing"]] == [["it is late"]]
    minimal = load_scenario(tmp_path / "out" / "dualpath-1.yaml")
    assert len(minimal.faults) == 1


def test_a_directory_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    assert chaos.main([*ASKED, "--out", str(tmp_path)]) != DONE
