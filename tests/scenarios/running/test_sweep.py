"""Sweeps: what they ask for, that they can be broken off, and what their report sets beside
theory."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from plan.errors import RunError, ScenarioError
from scenarios.analysis.sweep_figures import CNIC_DIRECTIONS, DRAMS, Shape, gather
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.configuration.systems import SYSTEMS
from scenarios.planning.points import load_points
from scenarios.reports.sweep_plots import chart
from scenarios.results.metrics import summarise_system
from scenarios.run import main
from scenarios.running import side_runs
from scenarios.running.execution import run_scenario
from scenarios.running.outcome import BROKEN_OFF, DONE, FAILED, WRONG
from scenarios.running.sweep import prepare
from tests.scenarios.commands import await_line, started
from tests.scenarios.synthetic import make_plan, make_result

pytestmark = pytest.mark.slow

BASE: dict[str, Any] = {
    "engine": "simulate",
    "cluster": {"slice": "1/8"},
    "scale": {"layer_groups": 2},
    "workload": {
        "source": {"generator": "32K"},
        "agents": 16,
        "min_turns": 30,
        "turns": {"skip": 20, "count": 2},
        "max_gen": 4,
    },
    "systems": ["basic", "dualpath"],
    "report": {"sample": "10 ms"},
}
RATIOS = {"pd": ["1:1", "2:1", "1:2"]}


def scenario_file(directory: Path, asked: object, **changes: object) -> Path:
    path = directory / "case.yaml"
    path.write_text(yaml.safe_dump(BASE | changes | {"sweep": asked}))
    return path


def labels(directory: Path, asked: object) -> list[str]:
    return [point.label for point in load_points(scenario_file(directory, asked))]


def summary(out: Path, point: str) -> dict[str, Any]:
    """A point's summary without what the wall clock says."""
    found: dict[str, Any] = json.loads((out / "points" / point / "summary.json").read_bytes())
    for figures in found["systems"].values():
        assert figures.pop("wall_s") > 0
    return found


def run(path: Path, out: Path, *arguments: str) -> int:
    return main([str(path), "--out", str(out), *arguments])


# what is asked for


def test_keys_with_values_make_a_grid_in_their_order(tmp_path: Path) -> None:
    asked = {"pd": ["1:1", "2:1"], "workload.agents": [2, 4]}
    expected = ["1P1D, agents 2", "1P1D, agents 4", "2P1D, agents 2", "2P1D, agents 4"]
    assert labels(tmp_path, asked) == expected


def test_a_list_names_its_points(tmp_path: Path) -> None:
    asked = [{"pd": "1:1", "workload.agents": 2}, {"pd": "1:2", "workload.agents": 4}]
    assert labels(tmp_path, asked) == ["1P1D, agents 2", "1P2D, agents 4"]


def test_a_mapping_goes_by_its_values(tmp_path: Path) -> None:
    asked = {"gpu": ["h800", {"hbm_bytes": 141e9, "preset": "h800"}]}
    assert labels(tmp_path, asked) == ["gpu h800", "gpu 1.41e+11 h800"]


def test_a_point_is_the_scenario_with_its_values_and_no_sweep(tmp_path: Path) -> None:
    asked = {"pd": ["2:3"], "cluster.snic": ["200 Gbit/s"]}
    (point,) = load_points(scenario_file(tmp_path, asked), ["seed=7"])
    cluster = point.scenario.cluster
    assert (cluster.prefill, cluster.decode, cluster.snic) == (2, 3, 200e9)
    assert (point.scenario.seed, point.scenario.sweep) == (7, None)


def test_points_have_directories_of_their_own(tmp_path: Path) -> None:
    asked = {"workload.append_scale": [0.1, 0.01, 0.001], "pd": ["1:1", "1:2"]}
    points = load_points(scenario_file(tmp_path, asked))
    assert len({point.directory for point in points}) == len(points) == 6


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "sweep: {} has no points"),
        ({"pd": []}, "sweep.pd: [] is empty; write at least one value"),
        ({"pd": ["1:1", "2-1"]}, 'sweep[1] (2-1D): pd: "2-1" cannot be used; write prefill and'),
        ({"pd": ["0:1"]}, "sweep[0] (0P1D): cluster.prefill: 0 is not accepted"),
        ({"pd": ["1:1", "1:1"]}, 'sweep[1]: "1P1D" is there twice'),
        ({"cluster.cnci": [1]}, "sweep[0] (cnci 1): cluster.cnci: 1 is not a known key; did you"),
        ({"cluster.slice": ["1/4", "1/3"]}, "sweep[1] (slice 1/3): cluster.slice: "),
        ({"scale.byte_scale": [2000, 1e9]}, "sweep[1] (byte_scale 1e+09): scale.byte_s"),
        ({"pd": ["1:1"], "cluster.prefill": [2]}, "sweep[0].cluster.prefill: 2 cannot be used"),
        ({"sweep.pd": [1]}, "sweep[0].sweep.pd: 1 cannot be used"),
        ([{"pd": "1:1"}, {"workload.agents": 2}], "are not the first point's keys; set pd in"),
        ({"pd": "1:1"}, "sweep"),
        (
            {f"model.{key}": list(range(1000)) for key in "abcdefgh"},
            f"sweep: {10**24} points are too many; write fewer values: at most 1000 points",
        ),
        (5, "sweep: 5 is not accepted; write a mapping or a list: a mapping"),
    ],
)
def test_a_refusal_names_the_point_and_the_key(
    tmp_path: Path, asked: object, expected: str
) -> None:
    with pytest.raises(ScenarioError, match=re.escape(expected)):
        load_points(scenario_file(tmp_path, asked))


def test_nothing_runs_when_the_last_point_is_wrong(tmp_path: Path) -> None:
    path = scenario_file(tmp_path, {"workload.agents": [2, 0]})
    assert run(path, tmp_path / "out") == WRONG
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--set", "sweep=null", "--jobs", "2"), "--jobs: 2 cannot be used"),
        (("--engine", "emulate", "--jobs", "2"), "--jobs: 2 cannot be used"),
        (("--cli",), "--cli: True cannot be used"),
    ],
)
def test_an_option_that_a_sweep_cannot_honour_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    assert run(scenario_file(tmp_path, RATIOS), tmp_path / "out", *arguments) == WRONG
    assert expected in capsys.readouterr().err


# runs


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenario_file(tmp_path_factory.mktemp("scenario"), RATIOS)


@pytest.fixture(scope="module")
def serial(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "serial"
    assert run(source, out, "--jobs", "1") == DONE
    return out


@pytest.fixture
def copy(serial: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(serial, tmp_path / "copy"))


@pytest.fixture(scope="module")
def figures(serial: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((serial / "sweep.json").read_bytes())
    return found


def test_every_point_is_an_ordinary_run(serial: Path) -> None:
    for point in ("01-1P1D", "02-2P1D", "03-1P2D"):
        held = {path.name for path in (serial / "points" / point).iterdir()}
        assert {"scenario.yaml", "plan.json", "summary.json", "report.html", "systems"} <= held


def test_parallel_points_measure_what_serial_ones_do(
    source: Path, serial: Path, tmp_path: Path
) -> None:
    assert run(source, tmp_path / "out", "--jobs", "2") == DONE
    for point in ("01-1P1D", "02-2P1D", "03-1P2D"):
        assert summary(tmp_path / "out", point) == summary(serial, point)
    assert (tmp_path / "out/sweep.json").read_bytes() == (serial / "sweep.json").read_bytes()


def test_theory_stands_beside_every_load(figures: dict[str, Any]) -> None:
    for point in figures["points"]:
        x = point["prefill"] / point["decode"]
        loads = point["systems"]["dualpath"]["loads"]
        assert list(loads) == [*CNIC_DIRECTIONS, *DRAMS]
        theory = [one["theory"] for one in loads.values()]
        assert theory == pytest.approx([2, 1 + 1 / x, 2 + x, 1 + 2 * x, 2, 3 + 2 * x])
        assert all(one["measured"] > 0 for one in loads.values())


def test_basic_is_predicted_to_leave_the_decode_snics_idle(figures: dict[str, Any]) -> None:
    for point in figures["points"]:
        snics = point["systems"]["basic"]["snics"]
        assert (snics["PE SNIC"]["theory"], snics["DE SNIC"]["theory"]) == (1, 0)
        assert snics["DE SNIC"]["measured"] < 0.01 < snics["PE SNIC"]["measured"]


def test_runs_with_equal_storage_bandwidth_are_paired(figures: dict[str, Any]) -> None:
    assert [(pair["first"], pair["second"]) for pair in figures["pairs"]] == [
        ("basic 1P1D", "basic 1P2D"),
        ("dualpath 1P1D", "basic 2P1D"),
        ("dualpath 2P1D", "dualpath 1P2D"),
    ]


def test_the_mean_speed_up_is_over_all_points(figures: dict[str, Any]) -> None:
    gained = [point["systems"]["dualpath"]["speedup"] for point in figures["points"]]
    assert figures["mean_speedup"] == {"dualpath": pytest.approx(sum(gained) / 3)}


def test_time_in_collectives_is_compared_between_points(tmp_path: Path) -> None:
    both_sides = {"slice": "1/8", "prefill": 2, "decode": 2}
    path = scenario_file(tmp_path, {"lanes": [True, False]}, cluster=both_sides, collectives=True)
    assert run(path, tmp_path / "out") == DONE
    written = json.loads((tmp_path / "out/sweep.json").read_bytes())
    taken = [point["systems"]["dualpath"]["collectives"] for point in written["points"]]
    assert len(taken) == 2
    assert min(taken) >= 1  # no fluid is faster than the CNIC
    assert (tmp_path / "out/plots/collectives.png").exists()


def test_where_nothing_is_exchanged_no_time_is_taken(figures: dict[str, Any], serial: Path) -> None:
    assert figures["points"][0]["systems"]["dualpath"]["collectives"] is None
    assert not (serial / "plots/collectives.png").exists()


def test_the_page_holds_its_pictures_and_leads_to_the_points(serial: Path) -> None:
    page = (serial / "sweep.html").read_text()
    assert page.count('src="data:image/png;base64,') == len(list((serial / "plots").iterdir())) > 3
    for link in re.findall(r'href="([^"]+)"', page):
        assert (serial / link).is_file()


# taken up again


def test_only_what_is_missing_runs_again(source: Path, serial: Path, copy: Path) -> None:
    (copy / "points/02-2P1D/summary.json").unlink()
    kept = copy / "points/01-1P1D/summary.json"
    written = kept.stat().st_mtime_ns
    assert run(source, copy, "--jobs", "1") == DONE
    assert kept.stat().st_mtime_ns == written
    assert summary(copy, "02-2P1D") == summary(serial, "02-2P1D")


def test_a_point_that_was_cut_short_runs_again(source: Path, copy: Path) -> None:
    path = copy / "points/03-1P2D/summary.json"
    short = json.loads(path.read_bytes())
    short["systems"]["dualpath"]["fidelity"]["complete"] = False
    path.write_text(json.dumps(short))
    left = prepare(copy, load_points(source))
    assert [point.label for point in left] == ["1P2D"]
    assert not path.exists()


@pytest.mark.parametrize(
    ("asked", "override", "expected"),
    [
        (RATIOS, ["seed=2"], "ran 1P1D with another scenario"),
        ({"pd": ["1:1", "2:1"]}, [], r"holds points that this sweep lacks (03-1P2D)"),
    ],
)
def test_another_sweep_s_directory_is_refused_and_left_alone(
    copy: Path, tmp_path: Path, asked: object, override: list[str], expected: str
) -> None:
    before = sorted(copy.rglob("*"))
    with pytest.raises(ScenarioError, match=re.escape(expected)):
        prepare(copy, load_points(scenario_file(tmp_path, asked), override))
    assert sorted(copy.rglob("*")) == before


def test_a_directory_of_something_else_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ScenarioError, match=r"--out: .* holds no sweep; name a new directory"):
        prepare(tmp_path, load_points(source))


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_with_a_report_that_says_incomplete(tmp_path: Path, jobs: int) -> None:
    asked = [
        {"workload.agents": 2, "workload.turns.count": 1},
        {"workload.agents": 5000, "workload.turns.count": 10},
        {"workload.agents": 5001, "workload.turns.count": 10},
    ]
    out = tmp_path / "out"
    with started(scenario_file(tmp_path, asked), out, "--jobs", str(jobs)) as process:
        await_line(process, "[1 of 3 points done")
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == BROKEN_OFF
    assert json.loads((out / "sweep.json").read_bytes())["complete"] is False
    page = (out / "sweep.html").read_text()
    assert "Incomplete." in page
    assert "has not run" in page


def test_a_point_that_fails_does_not_keep_others_from_running(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_on_two(scenario: Scenario, out: Path) -> object:
        if scenario.cluster.prefill == 2:
            raise RunError("pe1 ended early")
        return run_scenario(scenario, out)

    monkeypatch.setattr(side_runs, "run_scenario", fail_on_two)
    assert run(source, tmp_path / "out", "--jobs", "1") == FAILED
    ran = json.loads((tmp_path / "out/sweep.json").read_bytes())["points"]
    assert [bool(point["systems"]) for point in ran] == [True, False, True]
    assert "pe1 ended early" in (tmp_path / "out/sweep.html").read_text()


# beside theory


WHOLE = Shape(g=8, s=1.0, b=50e9, m=500e9)


@pytest.mark.parametrize(
    ("ratio", "place"),
    [
        (1 / 8, "outside"),
        (1 / 7, "edge"),
        (1, "inside"),
        (3.4, "inside"),
        (3.5, "edge"),
        (4, "outside"),
    ],
)
def test_the_band_of_the_paper_s_nodes_is_from_1_7_to_7_2(ratio: float, place: str) -> None:
    assert WHOLE.place(ratio) == place


def test_a_slice_of_a_node_has_the_whole_node_s_theory() -> None:
    scenario = load_scenario(library.find(library.QUICKSTART))
    part = Shape.of(scenario.cluster).ideal(SYSTEMS["dualpath"], 2, 1)
    whole = WHOLE.ideal(SYSTEMS["dualpath"], 2, 1)
    assert part is not None
    assert whole is not None
    assert part.loads == pytest.approx({**whole.loads})


def test_theory_says_nothing_of_the_oracle() -> None:
    assert WHOLE.ideal(SYSTEMS["oracle"], 1, 1) is None


@pytest.mark.parametrize(
    ("asked", "columns", "axis"),
    [
        ([{"pd": "1:1", "workload.agents": 2}, {"pd": "2:1", "workload.agents": 3}], 1, "P / D"),
        ({"pd": ["1:1", "2:1"], "workload.agents": [2, 3]}, 2, "P / D"),
        ({"workload.agents": [2, 3]}, 1, "workload.agents"),
        ({"cluster.snic": ["400 Gbit/s", "200 Gbit/s"], "seed": [1, 2]}, 2, "cluster.snic"),
    ],
)
def test_keys_that_follow_the_axis_make_no_columns(
    tmp_path: Path, asked: object, columns: int, axis: str
) -> None:
    points = load_points(scenario_file(tmp_path, asked))
    charted = chart(gather("case", "", points, {}, {}), points)
    assert (len(charted.columns), charted.axis) == (columns, axis)


def test_the_steady_part_is_where_every_agent_is_at_work() -> None:
    """Eight agents, five turns of 8 s each, one storage NIC always full."""
    plan = make_plan()
    result = make_result(plan, "basic", 40.0, {"pe0": 1.0, "de0": 0.0})
    steady = summarise_system(plan, result).steady
    assert steady is not None
    assert (steady.start_s, steady.end_s) == pytest.approx((8.0, 40.0))
    assert steady.snic["pe0"].utilisation == pytest.approx(1.0)
    assert steady.snic["de0"].utilisation == 0


def test_a_run_cut_short_has_no_steady_part() -> None:
    plan = make_plan()
    result = make_result(plan, "basic", 40.0, {"pe0": 1.0, "de0": 0.0}, complete=False)
    assert summarise_system(plan, result).steady is None
