"""The command `python -m scenarios.run`: its statuses, its files and what a run has to show."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scenarios.run import main
from scenarios.running.display import Progress
from scenarios.running.outcome import BROKEN_OFF, DONE, DOUBTED, LACKING, WRONG
from tests.scenarios.commands import TINY, await_line, started

pytestmark = pytest.mark.slow

LONG = ("--set", "workload.turns.count=20", "--set", "workload.agents=64")


class Finished(NamedTuple):
    """A run that is over."""

    status: int
    out: Path

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "summary.json").read_bytes())
        return found


def run(out: Path, *arguments: str) -> Finished:
    """In this process, which for emulation has to be in a sandbox."""
    return Finished(main([str(TINY), "--out", str(out), *arguments]), out)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return run(tmp_path_factory.mktemp("simulated") / "run", "--engine", "simulate")


def test_an_unknown_key_is_named_with_its_value_and_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--set", "cluster.decodes=3").status == WRONG
    said = capsys.readouterr().err
    assert said == "error: cluster.decodes: 3 is not a known key; did you mean decode?\n"


def test_a_quantity_without_its_unit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--set", "cluster.snic=400").status == WRONG
    assert 'cluster.snic: 400 has no unit; write e.g. "400 Gbit/s"' in capsys.readouterr().err


def test_a_scenario_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such.yaml"]) == WRONG
    assert "no-such.yaml" in capsys.readouterr().err


def test_two_runs_are_never_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "earlier").touch()
    assert run(tmp_path, "--engine", "simulate").status == WRONG
    assert "name a new or empty directory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["earlier"]


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--fast"])
    assert ended.value.code == WRONG


def test_help_names_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == DONE
    said = " ".join(capsys.readouterr().out.split())
    for status in ("0 the run is done", "1 it failed", "2 the scenario", "3 this", "4 the", "130"):
        assert status in said


def test_check_says_what_is_missing_and_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["--check"]) == LACKING
    said = capsys.readouterr().out
    assert "missing: program ovs-vswitchd is not there" in said
    assert "remedy: apt-get install openvswitch-switch" in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--pcap", "pe9.snic"), '--pcap: "pe9.snic" is not in this fabric'),
        (("--pcap", "pe0.snic", "--engine", "simulate"), "nothing crosses a simulated link"),
        (("--pcap", "pe0.snic", "--cli"), "--cli serves nothing"),
    ],
)
def test_a_link_that_can_not_be_recorded_is_refused_before_anything_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    assert run(tmp_path / "run", *arguments).status == WRONG
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_leaves_its_report_figures_and_inputs(simulated: Finished) -> None:
    assert simulated.status == DONE
    there = {str(p.relative_to(simulated.out)) for p in simulated.out.rglob("*") if p.is_file()}
    systems = ("basic", "dualpath", "oracle")
    assert there >= {
        *("report.html", "summary.json", "provenance.json", "scenario.yaml", "plan.json"),
        *(f"systems/{system}/requests.jsonl" for system in systems),
    }
    assert any(name.startswith("plots/") for name in there)
    assert set(simulated.summary["systems"]) == set(systems)


def test_the_resolved_scenario_gives_the_same_run_again(
    simulated: Finished, tmp_path: Path
) -> None:
    assert main([str(simulated.out / "scenario.yaml"), "--out", str(tmp_path)]) == DONE
    for path in simulated.out.rglob("requests.jsonl"):
        again = tmp_path / path.relative_to(simulated.out)
        assert again.read_bytes() == path.read_bytes()


def test_another_seed_gives_another_run(simulated: Finished, tmp_path: Path) -> None:
    run(tmp_path, "--engine", "simulate", "--set", "seed=2", "--systems", "basic")
    written = "systems/basic/requests.jsonl"
    assert (tmp_path / written).read_bytes() != (simulated.out / written).read_bytes()


@pytest.mark.parametrize("system", ["oracle", "dualpath"])
@pytest.mark.parametrize("agents", [1, 4])
def test_any_system_of_any_size_gets_a_report(tmp_path: Path, system: str, agents: int) -> None:
    """The Oracle alone moves nothing; a run may be shorter than any window of a picture."""
    options = ("--engine", "simulate", "--systems", system, "--set", f"workload.agents={agents}")
    finished = run(tmp_path / "run", *options)
    assert finished.status == DONE
    assert (tmp_path / "run/report.html").exists()


def test_an_overload_ends_by_its_bound_with_a_report(tmp_path: Path) -> None:
    small = ["systems=[basic]", "workload.arrival=1 /s", "slo.ttft=500 ms"]
    small.append("run.end={ttft_beyond: 500 ms, window: 20 s, after: 7200 s}")
    options = [word for one in small for word in ("--set", one)]
    assert main(["overload", "--out", str(tmp_path), *options]) == DONE
    figures = Finished(DONE, tmp_path).summary["systems"]["basic"]
    assert figures["ending"]["ended_by"] == "ttft_beyond"
    assert figures["ending"]["to_s"] < 100
    assert figures["service"]["met"] is False
    assert "Basic did not keep the SLO" in (tmp_path / "report.html").read_text()


def test_storage_bound_dualpath_lies_between_basic_and_the_oracle(simulated: Finished) -> None:
    assert_paper_claims(simulated.summary)


def test_ctrl_c_ends_a_simulated_run_with_a_report_marked_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(progress: Progress, done: int, use: Mapping[str, float], at_s: float) -> None:
        if done >= 10:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Progress, "update", press)
    assert run(tmp_path, "--engine", "simulate").status == BROKEN_OFF
    figures = broken_off_in_basic(tmp_path)
    assert 10 <= figures["completed"] < 64


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("emulated") / "run"
    return run(out, "--pcap", "pe0.cnic0", "--set", "workload.agents=16")


@pytest.mark.network
def test_an_emulated_run_is_done(emulated: Finished) -> None:
    # how well a busy machine keeps time is for the run's own verdict to say
    assert emulated.status in (DONE, DOUBTED)
    for figures in emulated.summary["systems"].values():
        assert figures["completed"] == figures["requests"] == 32


@pytest.mark.network
def test_an_emulated_run_loses_and_corrupts_nothing(emulated: Finished) -> None:
    for name, figures in emulated.summary["systems"].items():
        judged = figures["fidelity"]
        losses = ("failed", "drops", "retransmits", "blocks_corrupt")
        assert {key: judged[key] for key in losses} == dict.fromkeys(losses, 0)
        assert (judged["blocks_verified"] > 0) == (name != "oracle")


@pytest.mark.network
def test_what_crossed_a_recorded_link_is_what_its_queues_counted(emulated: Finished) -> None:
    found = json.loads((emulated.out / "systems/dualpath/pe0.cnic0.json").read_bytes())
    assert (found["problems"], found["dropped"], found["full"]) == ([], 0, False)
    lanes = {(row["traffic"], row["lane"]) for row in found["classes"]}
    assert lanes >= {("kv", "kv"), ("copy", "kv")}
    assert "On the wire: pe0.cnic0" in (emulated.out / "report.html").read_text()


@pytest.mark.network
def test_an_emulated_run_shows_what_the_paper_says(emulated: Finished) -> None:
    assert_paper_claims(emulated.summary)


@pytest.mark.network
def test_ctrl_c_ends_an_emulated_run_with_a_report_marked_incomplete(tmp_path: Path) -> None:
    with started(TINY, tmp_path, *LONG) as process:
        await_line(process, "basic:", times=2)  # announced, then on its way
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == BROKEN_OFF
    assert broken_off_in_basic(tmp_path)["completed"] < 64 * 20


def assert_paper_claims(summary: dict[str, Any]) -> None:
    """Paper section 7: DualPath against Basic where storage is the bottleneck."""
    basic, dualpath, oracle = (summary["systems"][s] for s in ("basic", "dualpath", "oracle"))
    assert basic["snic"]["de0"]["utilisation"] < 0.05
    assert basic["snic_max_over_avg"] > 1.8
    assert dualpath["snic_max_over_avg"] < 1.3
    assert oracle["jct_s"] <= dualpath["jct_s"]
    assert dualpath["jct_s"] < basic["jct_s"] / 1.3


def broken_off_in_basic(out: Path) -> dict[str, Any]:
    """Basic's figures, of a run that was marked as broken off there."""
    figures: dict[str, Any]
    [(name, figures)] = json.loads((out / "summary.json").read_bytes())["systems"].items()
    assert name == "basic"
    assert not figures["fidelity"]["complete"]
    assert "Incomplete." in (out / "report.html").read_text()
    return figures
