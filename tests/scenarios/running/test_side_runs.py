"""Claims about runs that fail alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.configuration.loading import load_scenario
from scenarios.running.fleet import Here
from scenarios.running.outcome import DONE, WRONG
from scenarios.running.side_runs import Run, attempt, side_runs
from tests.scenarios.commands import TINY

FEW = ["workload.agents=2", "engine=simulate", "systems=[basic]"]


def test_what_cannot_be_planned_is_an_outcome(tmp_path: Path) -> None:
    scenario = load_scenario(TINY, [*FEW, "workload.min_turns=1000000"])
    outcome = attempt(Run(scenario, tmp_path / "run"))
    assert outcome.status == WRONG
    assert outcome.error is not None
    assert "workload" in outcome.error


@pytest.mark.slow
def test_a_run_that_fails_leaves_the_others_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good = load_scenario(TINY, FEW)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "something").touch()
    runs = [Run(good, tmp_path / "a"), Run(good, taken), Run(good, tmp_path / "b")]
    ended = dict(side_runs(runs, Here(2)))
    assert {place: outcome.status for place, outcome in ended.items()} == {
        0: DONE,
        1: WRONG,
        2: DONE,
    }
    first, second = ended[0].summary, ended[2].summary
    assert first is not None
    assert second is not None
    assert first.systems["basic"].jct_s == second.systems["basic"].jct_s is not None
    assert capfd.readouterr() == ("", "")
