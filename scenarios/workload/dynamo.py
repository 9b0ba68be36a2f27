"""Request and agent traces as NVIDIA Dynamo's frontend writes them."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import msgspec

from plan.errors import TraceError
from plan.workload import Trajectory
from scenarios.workload.requests import (
    MAX_BLOCKS,
    MAX_SESSION_TURNS,
    Count,
    Name,
    Positive,
    Prompts,
    Time,
    decode,
)
from scenarios.workload.stems import Tree
from scenarios.workload.trace_files import TraceFiles

_END = "request_end"


def read_dynamo(path: Path) -> Iterator[Trajectory]:
    """Records of `dynamo.request.trace.v1` and `dynamo.agent.trace.v1`, one a line, bare or as
    the `event` of a line; a file, or all `*.jsonl*` of a folder. All but `request_end` are
    passed over.

    A trajectory is the requests of one `trajectory_id` (or `program_id`, or `session_id`) in
    the order in which they came; a request without `agent_context` is one by itself. Hits are
    found by `replay.input_sequence_hashes`; without these a request goes on from the one before.
    What others had of a first prompt is preloaded. A gap is from the end of the request before
    to this one's beginning; a trajectory begins with its first.
    """
    trace = TraceFiles(path)
    files = trace.named("*.jsonl*")
    if not files:
        raise TraceError(f"{path}: no *.jsonl or *.jsonl.gz in this folder")
    calls = [call for file in files for call in _calls(trace, file)]
    calls.sort(key=attrgetter("received_s"))
    yield from _trajectories(path, calls)


class _Call(msgspec.Struct):
    """A request: when it came and was over, seconds of the Unix epoch."""

    session: str
    received_s: float
    over_s: float
    prompt: int
    gen: int
    block: int
    hashes: list[int] | None


def _calls(trace: TraceFiles, file: Path) -> Iterator[_Call]:
    for line, data in trace.lines(file):
        row = decode(data, _Line, file, line)
        record = row.event or row
        if record.event_type != _END or record.request is None:
            continue
        request, replay = record.request, record.request.replay
        prompt = replay.input_length if replay else request.input_tokens
        if prompt is None:
            problem = "neither replay nor input_tokens says how long the prompt is"
            raise TraceError(f"{file}:{line}: {problem} - at `$.request`")
        over_ms = record.event_time_unix_ms
        received_ms = request.request_received_ms
        if received_ms is None:
            received_ms = max(0.0, over_ms - (request.total_time_ms or 0.0))
        elif request.total_time_ms is not None:
            over_ms = received_ms + request.total_time_ms
        yield _Call(
            session=record.session or f"{file.name}:{line}",
            received_s=received_ms / 1000,
            over_s=over_ms / 1000,
            prompt=prompt,
            gen=max(1, request.output_tokens or 0),
            block=replay.trace_block_size if replay else 1,
            hashes=replay.input_sequence_hashes if replay else None,
        )


def _trajectories(path: Path, calls: list[_Call]) -> Iterator[Trajectory]:
    sessions: dict[str, Prompts] = {}
    starts_s: dict[str, float] = {}
    ends_s: dict[str, float] = {}
    tree = Tree()
    for call in calls:
        prompts = sessions.get(call.session)
        if prompts is None:
            prompts = sessions[call.session] = Prompts(call.block)
            starts_s[call.session] = call.received_s - calls[0].received_s
        gap_s = max(0.0, call.received_s - ends_s.get(call.session, call.received_s))
        ends_s[call.session] = call.over_s
        prompts.add(call.prompt, call.gen, call.hashes, gap_s, tree)
        if len(tree.known) > MAX_BLOCKS:
            raise TraceError(f"{path}: more than {MAX_BLOCKS} blocks: take a part of it")
        if len(prompts.requests) > MAX_SESSION_TURNS:
            raise TraceError(f"{path}: a session of more than {MAX_SESSION_TURNS} requests")
    for name, prompts in sessions.items():
        yield prompts.chained(name, starts_s[name])


# records as they stand in the files (what we use of them)


class _Replay(msgspec.Struct):
    trace_block_size: Positive
    input_length: Positive
    input_sequence_hashes: list[int]


class _Request(msgspec.Struct):
    input_tokens: Positive | None = None
    output_tokens: Count | None = None
    request_received_ms: Time | None = None
    total_time_ms: Time | None = None
    replay: _Replay | None = None


class _Context(msgspec.Struct):
    session_id: Name | None = None
    trajectory_id: Name | None = None
    program_id: Name | None = None


class _Record(msgspec.Struct):
    event_type: str = ""
    event_time_unix_ms: Time = 0.0
    agent_context: _Context | None = None
    request: _Request | None = None

    @property
    def session(self) -> str | None:
        one = self.agent_context
        return (one.trajectory_id or one.program_id or one.session_id) if one else None


class _Line(_Record):
    event: _Record | None = None
