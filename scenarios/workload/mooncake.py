"""Mooncake's rows, with and without the sessions that Dynamo and AIPerf add to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from plan.errors import TraceError
from plan.workload import Trajectory, Turn
from scenarios.workload.requests import (
    MAX_BLOCKS,
    MAX_SESSION_TURNS,
    Count,
    Name,
    Positive,
    Prompts,
    Request,
    Time,
    chain,
    gap_before_s,
    rows,
    shared_blocks,
)
from scenarios.workload.stems import Line, Tree

_BLOCKS = (512, 256, 128, 64, 32, 16)
_LOOKED_AT = 1000


def read_mooncake(path: Path) -> Iterator[Trajectory]:
    """Requests with lengths and block ids, one a line.

    Where the first row has no `session_id`, sessions are rebuilt: a request continues the
    earlier request (the latest of several) that shares the longest prefix with it, if that one
    is still the last of its session; otherwise it starts one. Rows of a `session_id` are its
    turns, in order; without `hash_ids`, `input_length` is what a turn appends. What others
    had of a session's first prompt is preloaded.

    `timestamp`, in milliseconds, is when a request came: a gap is from request to request, or
    `delay` (`delay_ms`) and `tool_wait_ms`, milliseconds since the end of the one before. A
    session begins with its first request; one that has no time, with those that it waits for.
    """
    block = block_tokens(path)
    numbered = rows(path, _Row)
    first = next(numbered, None)
    if first is None:
        return
    reader = _Rebuilt(path, block) if first[1].session_id is None else _Named(path, block)
    reader.add(*first)
    for line, row in numbered:
        reader.add(line, row)
    yield from reader.trajectories()


def block_tokens(path: Path) -> int:
    """Tokens of a block, 512 in Mooncake's own: what makes the first rows' numbers of ids right."""
    sizes = list(_BLOCKS)
    for _, row in islice(rows(path, _Row), _LOOKED_AT):
        if row.hash_ids is not None:
            blocks = len(row.hash_ids)
            sizes = [size for size in sizes if -(-row.prompt // size) == blocks] or sizes
    return sizes[0]


class _Rebuilt:
    """Sessions that prefixes tell apart."""

    def __init__(self, path: Path, block: int) -> None:
        self._path = path
        self._block = block
        self._sessions: list[list[Request]] = []
        self._preloaded: list[int] = []
        self._times_s: list[list[float]] = []
        self._tree = Tree()
        self._lines: list[Line] = []
        self._owners: dict[int, tuple[int, int]] = {}  # id -> (session, request) that last held it

    def add(self, line: int, row: _Row) -> None:
        sessions, times_s = self._sessions, self._times_s
        _check(self._path, line, row, self._block)
        ids = row.hash_ids or []
        shared = shared_blocks(ids, self._owners)
        session, parent = self._owners[ids[shared - 1]] if shared else (len(sessions), -1)
        hit = min(shared * self._block, sessions[session][parent].prompt) if shared else 0
        if not shared or parent != len(sessions[session]) - 1:
            self._preloaded.append(hit)
            session, parent, hit = len(sessions), -1, 0
            sessions.append([])
            self._lines.append(Line())
            times_s.append([])
        at_s = (row.timestamp or 0.0) / 1000
        gap_s = gap_before_s(None, at_s, times_s[session][-1]) if times_s[session] else 0.0
        times_s[session].append(at_s)
        sessions[session].append(Request(row.prompt, max(1, row.gen), hit, parent, gap_s))
        full = row.prompt // self._block
        self._tree.add(ids, full)
        self._lines[session].follow(ids[:full])
        self._owners.update(dict.fromkeys(ids, (session, parent + 1)))
        _bounded(self._path, line, len(self._owners), len(sessions[session]))

    def trajectories(self) -> Iterator[Trajectory]:
        for i, requests in enumerate(self._sessions):
            name, start_s = f"mooncake-{i}", self._times_s[i][0]
            stems = self._tree.stems(self._lines[i], self._block)
            yield chain(name, requests, self._block, start_s, self._preloaded[i], stems)


class _Named:
    """Sessions that have names."""

    def __init__(self, path: Path, block: int) -> None:
        self._path = path
        self._block = block
        self._tree = Tree()
        self._sessions: dict[str, _Session] = {}
        self._session_of: dict[str, str] = {}  # request id -> its session

    def add(self, line: int, row: _Row) -> None:
        name = row.session_id
        if name is None:
            raise TraceError(f"{self._path}:{line}: session_id: others have one - at `$`")
        _check(self._path, line, row, self._block)
        session = self._sessions.get(name)
        if session is None:
            awaited = [self._session_of[one] for one in row.wait_for if one in self._session_of]
            begun_s = max((self._sessions[one].start_s for one in awaited), default=0.0)
            start_s = begun_s if row.timestamp is None else row.timestamp / 1000
            session = self._sessions[name] = _Session(self._block, start_s)
        if session.whole != (row.hash_ids is not None) and session.length:
            raise TraceError(f"{self._path}:{line}: hash_ids: {name} has rows with and without")
        session.add(row, self._tree)
        if row.request_id is not None:
            self._session_of[row.request_id] = name
        _bounded(self._path, line, len(self._tree.known) + len(self._session_of), session.length)

    def trajectories(self) -> Iterator[Trajectory]:
        for name, session in self._sessions.items():
            yield session.trajectory(name)


class _Session:
    """Whole prompts where rows have block ids, else what each turn appends."""

    def __init__(self, block: int, start_s: float) -> None:
        self._prompts = Prompts(block)
        self._turns: list[Turn] = []
        self.start_s = start_s
        self._at_s = start_s

    @property
    def whole(self) -> bool:
        return bool(self._prompts.requests)

    @property
    def length(self) -> int:
        return len(self._turns) + len(self._prompts.requests)

    def add(self, row: _Row, tree: Tree) -> None:
        before_s = self._at_s
        self._at_s = before_s if row.timestamp is None else row.timestamp / 1000
        gap_s = gap_before_s(row.pause_s, self._at_s, before_s) if self.length else 0.0
        gen = max(1, row.gen)
        if row.hash_ids is None:
            self._turns.append(Turn(row.prompt, gen, None, gap_s))
        else:
            self._prompts.add(row.prompt, gen, row.hash_ids, gap_s, tree)

    def trajectory(self, name: str) -> Trajectory:
        if self.whole:
            return self._prompts.chained(name, self.start_s)
        return Trajectory(name=name, turns=tuple(self._turns), start_s=self.start_s)


class _Row(msgspec.Struct):
    """A row as it stands in the file (what we use of it)."""

    prompt: Positive = msgspec.field(name="input_length")
    gen: Count = msgspec.field(name="output_length")
    hash_ids: list[int] | None = None
    timestamp: Time | None = None
    session_id: Name | None = None
    request_id: Name | None = None
    wait_for: list[Name] = []
    delay: Time | None = None
    delay_ms: Time | None = None
    tool_wait_ms: Time | None = None

    @property
    def pause_s(self) -> float | None:
        """From the end of the request before to this one, if that is recorded."""
        parts = [one for one in (self.delay, self.delay_ms, self.tool_wait_ms) if one is not None]
        return sum(parts) / 1000 if parts else None


def _check(path: Path, line: int, row: _Row, block: int) -> None:
    if row.hash_ids is None:
        if row.session_id is None:
            raise TraceError(f"{path}:{line}: neither hash_ids nor session_id - at `$`")
        return
    blocks = -(-row.prompt // block)
    if len(row.hash_ids) != blocks:
        raise TraceError(
            f"{path}:{line}: hash_ids: {len(row.hash_ids)} ids for {row.prompt} "
            f"tokens, which are {blocks} blocks - at `$.hash_ids`"
        )


def _bounded(path: Path, line: int, ids: int, turns: int) -> None:
    if ids > MAX_BLOCKS:
        raise TraceError(f"{path}:{line}: more than {MAX_BLOCKS} blocks: take a part of it")
    if turns > MAX_SESSION_TURNS:
        raise TraceError(f"{path}:{line}: a session of more than {MAX_SESSION_TURNS} requests")
