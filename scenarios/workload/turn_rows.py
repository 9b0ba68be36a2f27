"""Plain rows of turns, CSV or JSON lines: (agent, time, cached, append, gen)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import msgspec

from plan.errors import TraceError
from plan.workload import Trajectory, Turn
from scenarios.workload.requests import (
    MAX_SESSION_TURNS,
    Count,
    Name,
    Positive,
    Time,
    decode,
    keep_of,
)
from scenarios.workload.trace_files import TraceFiles

COLUMNS = ("agent", "time", "cached", "append", "gen")


class TurnRow(msgspec.Struct, frozen=True):
    """A turn: when it is asked for, seconds; the tokens of its prompt that are in the cache, those
    that are new, and those that are generated."""

    agent: Name
    time: Time
    cached: Count
    append: Positive
    gen: Positive


def read_turns(path: Path) -> Iterator[Trajectory]:
    """A row for each turn, in any order of agents: CSV with a heading, or JSON lines.

    A gap is the time from one of an agent's rows to the next; an agent begins with its first.
    What is cached of an agent's first prompt others had before, and is preloaded: whoever has
    less has the beginning of what the others have.
    """
    agents: dict[str, _Agent] = {}
    for line, row in _rows(path):
        agent = agents.setdefault(row.agent, _Agent(row))
        if problem := agent.add(row):
            raise TraceError(f"{path}:{line}: {problem}")
    first_s = min((agent.start_s for agent in agents.values()), default=0.0)
    for name, agent in agents.items():
        yield Trajectory(
            name=name,
            turns=tuple(agent.turns),
            preloaded=agent.preloaded,
            start_s=agent.start_s - first_s,
            stems=((0, agent.preloaded),) if agent.preloaded else (),
        )


class _Agent:
    def __init__(self, first: TurnRow) -> None:
        self.preloaded = self._context = first.cached
        self.start_s = self._at_s = first.time
        self.turns: list[Turn] = []

    def add(self, row: TurnRow) -> str:
        """Take a turn; what is wrong with it, if anything is."""
        if row.cached > self._context:
            return f"cached: {row.cached} tokens of a context of {self._context}"
        if row.time < self._at_s:
            return f"time: {row.time:g} s is before {self._at_s:g} s, {row.agent}'s turn before"
        if len(self.turns) == MAX_SESSION_TURNS:
            return f"agent: {row.agent} has more than {MAX_SESSION_TURNS} turns"
        keep, gap_s = keep_of(row.cached, self._context), row.time - self._at_s
        self.turns.append(Turn(row.append, row.gen, keep, gap_s))
        self._context = row.cached + row.append + row.gen
        self._at_s = row.time
        return ""


def _rows(path: Path) -> Iterator[tuple[int, TurnRow]]:
    lines = TraceFiles(path).lines(path)
    first = next(lines, None)
    if first is None:
        return
    if first[1].lstrip()[:1] == b"{":
        for line, data in chain([first], lines):
            yield line, decode(data, TurnRow, path, line)
        return
    heading = _cells(path, *first)
    if missing := [column for column in COLUMNS if column not in heading]:
        raise TraceError(f"{path}:{first[0]}: the heading has no {', '.join(missing)}")
    for line, data in lines:
        cells: Mapping[str, str] = dict(zip(heading, _cells(path, line, data), strict=False))
        try:
            yield line, msgspec.convert(cells, TurnRow, strict=False)
        except msgspec.ValidationError as error:
            raise TraceError(f"{path}:{line}: {error}") from error


def _cells(path: Path, line: int, data: bytes) -> list[str]:
    try:
        return next(csv.reader([data.decode("utf-8-sig")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}:{line}: is no line of CSV: {error}") from error


def turn_rows(trajectories: Iterable[Trajectory]) -> Iterator[TurnRow]:
    """The rows that `read_turns` makes the trajectories of again; serving takes no time."""
    for trajectory in trajectories:
        at_s, context = trajectory.start_s, trajectory.preloaded
        for turn in trajectory.turns:
            at_s += turn.gap_s
            cached = context if turn.keep is None else turn.keep
            context = cached + turn.append + turn.gen
            yield TurnRow(trajectory.name, at_s, cached, turn.append, turn.gen)
