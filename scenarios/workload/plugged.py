"""Traces that a plug-in reads: what it yields is looked at before anything goes by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plan.plugins import Caller, Plugin, load
from plan.workload import Trajectory, steps
from scenarios.workload.trace_formats import Reader

MOST_STEMS = 2**31
"""Beyond that there are no numbers for owners of blocks."""


def plugged_reader(plugin: Plugin) -> Reader:
    """A reader that a plug-in is.

    Raises:
        PluginError: from the reader: it raises, takes too long for one trajectory, or yields
            what is none.
    """
    call = Caller(plugin, long=True)
    function = load(plugin)

    def read(path: Path) -> Iterator[Trajectory]:
        trajectories = call(iter, call(function, path))
        while (trajectory := call(next, trajectories, None)) is not None:
            if problem := _problem(trajectory):
                call.refuse(function, trajectory, problem)
            yield trajectory

    return read


def _problem(trajectory: object) -> str:
    if not isinstance(trajectory, Trajectory) or not trajectory.turns:
        return "is no Trajectory with turns"
    if any(turn.append < 1 or turn.gen < 1 for turn in trajectory.turns):
        return "has a turn that appends or generates less than a token"
    try:
        list(steps(trajectory))
    except ValueError as error:
        return f"cannot be: {error}"
    numbers = [stem for stem, _ in trajectory.stems]
    ends = [0, *(end for _, end in trajectory.stems)]
    if ends != sorted(ends) or len(set(numbers)) < len(numbers):
        return "has stems that do not follow each other, each with a number of its own"
    if any(not 0 <= stem < MOST_STEMS for stem in numbers):
        return f"has a stem whose number is not from 0 to {MOST_STEMS - 1}"
    return ""
