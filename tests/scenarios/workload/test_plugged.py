"""Traces that plug-ins read."""

from __future__ import annotations

from pathlib import Path

import pytest

from plan.errors import PluginError
from scenarios.workload.plugged import plugged_reader
from scenarios.workload.trace import load
from tests.plugged import plugin


def source(turns: str) -> str:
    return f"""
        from plan.workload import Trajectory, Turn
        def plugin(path):
            for name in path.read_text().split():
                yield Trajectory(name=name, turns=({turns}))
    """


def test_what_a_plugin_yields_is_the_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("a b c")
    found = load(trace, plugged_reader(plugin(tmp_path, source("Turn(100, 5),"))))
    assert [trajectory.name for trajectory in found] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("turns", "complaint"),
    [
        ("", "which is no Trajectory with turns"),
        ("Turn(0, 5),", "has a turn that appends or generates less than a token"),
        ("Turn(9, 5), Turn(1, 1, 99)", "cannot be: keep: turn 1 of a keeps 99 tokens"),
        ("Turn(1 // 0, 5),", "4 in next: ZeroDivisionError"),
        ("Turn(9, 5),), stems=((0, 5), (0, 9)", "has stems that do not follow each other"),
        ("Turn(9, 5),), stems=((0, 9), (1, 5)", "has stems that do not follow each other"),
        ("Turn(9, 5),), stems=((-1, 5),", "has a stem whose number is not from 0"),
    ],
)
def test_what_is_no_trajectory_is_refused_with_its_line(
    tmp_path: Path, turns: str, complaint: str
) -> None:
    trace = tmp_path / "trace"
    trace.write_text("a")
    with pytest.raises(PluginError) as refused:
        load(trace, plugged_reader(plugin(tmp_path, source(turns))))
    assert complaint in str(refused.value)
