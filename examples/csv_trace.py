"""A reader of a trace of one's own: a CSV file with a line for each turn.

    agent,append,gen
    alice,900,120
    alice,300,80
    bob,1200,60

    workload: {source: {trace: mine.csv, format: ../examples/csv_trace.py:read}, agents: 100}

Agents that the scenario has beyond those of the trace are made of them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from plan.workload import Trajectory, Turn

DUALPATH_PLUGIN = 1


def read(path: Path) -> Iterator[Trajectory]:
    """One trajectory for the lines of each agent, which stand together."""
    with path.open(newline="", encoding="utf-8") as file:
        for name, lines in groupby(csv.DictReader(file), key=lambda line: line["agent"]):
            turns = tuple(Turn(int(line["append"]), int(line["gen"])) for line in lines)
            yield Trajectory(name=name, turns=turns)
