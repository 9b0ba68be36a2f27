"""The command `python -m scenarios.capacity`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from plan.errors import RunError
from scenarios.capacity import main
from scenarios.results import rest
from scenarios.running import execution, simulation
from scenarios.running.outcome import DONE, FAILED, WRONG

pytestmark = pytest.mark.slow

TEXT = """
name: small-online
engine: simulate
cluster: {slice: 1/8}
scale: {layer_groups: 2}
workload: {source: {generator: 32K}, agents: 8, max_context: 3000, max_gen: 16, arrival: 2 /s}
systems: [basic, dualpath]
run: {warmup: 2 s, end: {after: 8 s, window: 3 s}}
slo: {ttft: 400 ms}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def told(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "capacity.json").read_text())
    return found


def test_a_search_ends_between_a_rate_that_keeps_the_slo_and_one_that_misses_it(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    arguments = [str(scenario), "--out", str(out), "--jobs", "1"]
    assert main([*arguments, "--precision", "0.5"]) == DONE
    for name, one in told(out)["systems"].items():
        assert one["capacity_aps"] < one["missed_aps"] <= 2 * one["capacity_aps"]
        by_rate = {point["aps"]: point for point in one["points"]}
        kept, missed = by_rate[one["capacity_aps"]], by_rate[one["missed_aps"]]
        assert kept["slo_met"], name
        assert kept["ttft_s"] <= 0.4
        assert kept["ended_by"] == "after"
        assert sum(kept["ttft_parts_s"].values()) == pytest.approx(kept["ttft_s"])
        assert missed["slo_met"] is False
    assert told(out)["gain_over_basic"]["basic"] == 1.0
    page = (out / "capacity.html").read_text()
    assert page.count('src="data:image/png;base64,') == 3
    assert "keeps the SLO up to" in page
    assert all((out / path).exists() for path in re.findall(r'href="(.*?)"', page))
    assert "SLO kept" in capsys.readouterr().err

    before = told(out)
    with patch.object(execution, "make_plan", side_effect=RunError("ran again")):
        assert main([*arguments, "--precision", "0.5"]) == DONE
    assert told(out) == before
    capsys.readouterr()
    assert main([*arguments, "--set", "seed=2"]) == WRONG
    assert "another scenario" in capsys.readouterr().err


def test_a_run_that_fails_is_named_and_the_others_go_on(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    serve = simulation.serve

    def failing(plan: Any, system: Any, *others: Any) -> Any:
        if system.name == "basic":
            raise RunError("a disk is full")
        return serve(plan, system, *others)

    with patch.object(simulation, "serve", failing):
        assert main([str(scenario), "--out", str(out), "--jobs", "1", "--rates", "1"]) == FAILED
    assert "basic at 1 /s: basic: a disk is full" in capsys.readouterr().err
    found = told(out)["systems"]
    assert "a disk is full" in found["basic"]["points"][0]["error"]
    assert found["basic"]["capacity_aps"] is None
    assert found["dualpath"]["capacity_aps"] == 1.0
    assert "a disk is full" in (out / "capacity.html").read_text()


def test_a_rate_that_no_system_bears_is_told_and_drawn(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    grid = ["--rates", "1", "--set", "slo.ttft=1 ms"]
    assert main([str(scenario), "--out", str(out), "--jobs", "1", *grid]) == DONE
    for one in told(out)["systems"].values():
        assert one["capacity_aps"] is None
        assert one["points"][0]["slo_met"] is False
    assert (out / "capacity.html").read_text().count('src="data:image/png;base64,') == 3


def test_a_rate_at_which_ttft_still_rises_is_undecided_and_no_capacity(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    arguments = [str(scenario), "--out", str(out), "--jobs", "1", "--systems", "basic"]
    with patch.object(rest, "rises", lambda means: True):
        assert main([*arguments, "--rates", "1"]) == DONE
    one = told(out)["systems"]["basic"]
    [point] = one["points"]
    assert (point["slo_met"], point["verdict"], point["ended_by"]) == (None, "undecided", "after")
    assert (one["capacity_aps"], one["undecided_aps"], one["missed_aps"]) == (None, 1.0, None)
    assert "undecided at 1" in (out / "capacity.html").read_text()
    told_so_far = capsys.readouterr()
    assert "SLO undecided" in told_so_far.err
    assert "no rate tried (undecided at 1)" in told_so_far.out
    assert "TTFT still rose at the end" in (out / "points/basic-1/report.html").read_text()


def test_of_a_sweep_every_point_is_searched_and_all_are_set_side_by_side(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.write_text(TEXT + "sweep: {workload.gap: [none, {fixed: 100 ms}]}\n")
    out = tmp_path / "found"
    assert main([str(scenario), "--out", str(out), "--jobs", "1", "--rates", "1"]) == DONE
    found = json.loads((out / "capacities.json").read_text())
    assert len(found) == 2
    assert next(iter(found)) == "gap none"
    jcts_s = [one["systems"]["basic"]["points"][0]["agent_jct_s"] for one in found.values()]
    assert jcts_s[1] > jcts_s[0]
    page = (out / "capacities.html").read_text()
    assert "gap none" in page
    assert page.count('src="data:image/png;base64,') == 2, "over the points, and over r"
    assert (out / "01-gap-none" / "capacity.html").exists()
    assert "SLO kept, mean TTFT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rates", "0.1,fast"], "write agents a second, e.g. 0.1,0.15,0.2, or auto"),
        (["--rates", "0,1"], "are not all positive and finite"),
        (["--precision", "2"], "--precision"),
        (["--set", "workload.arrival=offline"], "write the rate to begin with"),
        (["--engine", "emulate", "--jobs", "2"], "emulated runs need the whole machine"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    scenario: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(scenario), *arguments]) == WRONG
    [line] = capsys.readouterr().err.splitlines()
    assert complaint in line
