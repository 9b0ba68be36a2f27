"""A run read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from plan.errors import RunError, ScenarioError
from scenarios.results.saved_run import open_run
from tests.scenarios.saved import saved_run
from tests.scenarios.synthetic import basic_and_dualpath


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    plan, [basic, _] = basic_and_dualpath()
    run = open_run(saved_run(tmp_path / "run"))
    system = run.system("basic")
    assert run.plan == plan
    assert list(run.summary.systems) == ["basic", "dualpath"]
    assert system.records == basic.records
    assert system.samples == basic.samples
    assert system.stats == basic.node_stats


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    directory = saved_run(tmp_path / "run")
    (directory / "plan.json").write_text("{}")
    with pytest.raises(RunError, match=r"plan\.json cannot be read: ValidationError"):
        open_run(directory)


def test_where_no_run_is_the_remedy_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"which holds its summary\.json"):
        open_run(tmp_path)
