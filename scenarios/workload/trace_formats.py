"""Recorded traces as trajectories, one loader for each format.

All three formats record prompts whole. A loader turns each prompt into `keep` + `append`
so that hit and miss tokens add up to the recorded prompt length exactly. Sessions that go
back to an older prefix and on from there are laid out along one chain of tokens: where a
request returns to a branch that has been left, its tokens beyond the fork count as
appended again, so hits are under-estimated there, never over-estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from plan.errors import TraceError
from plan.workload import Trajectory, Turn
from scenarios.workload.trace_files import TraceFiles

Format = Literal["mini-swe-agent", "kv-cache-tester", "kv-cache-tester-raw", "mooncake"]
MAX_TOKENS = 2**24
"""Of a prompt or a generation, beyond any model's context."""
MAX_SESSION_TURNS = 10_000
MAX_BLOCKS = 4_000_000
"""Different block ids of a trace; each takes some 100 bytes."""
MAX_NESTED = 50
"""Subagents of subagents."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]
Name = Annotated[str, msgspec.Meta(max_length=200)]
Time = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Row = TypeVar("Row")

_CONVERSATION_BLOCK = 64  # tokens of a prefix block in kv-cache-tester
_MOONCAKE_BLOCK = 512


class _Request(NamedTuple):
    """A recorded request: `hit` tokens of its prompt are the prompt of request `parent`
    (an index into the session, -1: none). `gap_s` seconds lie before it, see `Turn`."""

    prompt: int
    gen: int
    hit: int
    parent: int
    gap_s: float = 0.0


def read_mini_swe_agent(path: Path) -> Iterator[Trajectory]:
    """Sessions of `lengths.jsonl`, one a line.

    An append of 0 counts as 1 and the generation is what stays in the context (out -
    reason, at least 1); where that makes the context longer than the recorded prompt, the
    turn keeps only so much of it that the prompt has its recorded length. `t` is when a call
    was made, so a gap is from call to call: how long a call took is not recorded, and neither
    is when a session began.
    """
    for line, session in _lines(path, _AgentSession):
        turns: list[Turn] = []
        context, before_s = 0, 0.0
        for i, call in enumerate(session.turns):
            append = max(1, call.append)
            keep = call.prompt - append
            if not 0 <= keep <= context:
                raise TraceError(
                    f"{path}:{line}: append: {call.append} new tokens of a prompt of "
                    f"{call.prompt} leave {keep} for a context of {context} - at "
                    f"`$.turns[{i}].append`"
                )
            gap_s = _gap_s(None, call.t, before_s) if i else 0.0
            turns.append(Turn(append, max(1, call.out - call.reason), _keep(keep, context), gap_s))
            context, before_s = call.prompt + turns[-1].gen, call.t
        yield Trajectory(name=session.session, turns=tuple(turns))


def read_kv_cache_tester(path: Path) -> Iterator[Trajectory]:
    """Sessions of `lengths.jsonl`, one a line.

    A request whose whole parent prompt is a hit and whose own prompt is longer than the
    parent's context continues from all of that context, generation included; any other
    keeps the hit tokens it still shares with the request before it. `think` is the time from
    a request's end to the next one's start, and so the gap (from `t` to `t` where the end is not
    known); when a session began is not recorded.
    """
    for line, session in _lines(path, _Conversation):
        requests = []
        for i, call in enumerate(session.turns):
            if call.par >= i:
                raise TraceError(
                    f"{path}:{line}: par: {call.par} is not an earlier request - at "
                    f"`$.turns[{i}].par`"
                )
            if call.hit > call.prompt:
                raise TraceError(
                    f"{path}:{line}: hit: {call.hit} of a prompt of {call.prompt} tokens - at "
                    f"`$.turns[{i}].hit`"
                )
            gap_s = _gap_s(call.think, call.t, session.turns[i - 1].t)
            requests.append(_Request(call.prompt, max(1, call.out), call.hit, call.par, gap_s))
        yield _chain(session.session, requests, _CONVERSATION_BLOCK)


def read_kv_cache_tester_raw(path: Path) -> Iterator[Trajectory]:
    """Conversations with block ids: a file, or all `*.json` and `*.json.gz` of a folder.

    Hits are found as the cache would: the longest prefix of 64-token blocks that an earlier
    request of the same agent held. A subagent has a cache of its own and becomes a
    trajectory of its own, `<id>/<agent id>`, which begins `t` seconds after its parent; when
    that began is not recorded. `think_time` is the gap before a request, as `think` is there.
    """
    trace = TraceFiles(path)
    files = trace.named("*.json*")
    if not files:
        raise TraceError(f"{path}: no *.json or *.json.gz in this folder")
    for file in files:
        conversation = _decode(trace.document(file), _RawConversation, file, 1)
        yield from _agents(conversation.id, conversation.requests, file)


def read_mooncake(path: Path) -> Iterator[Trajectory]:
    """Sessions rebuilt from prefixes; the trace itself has none.

    A request continues the earlier request (the latest of several) that shares the longest
    prefix of 512-token blocks with it, if that one is still the last of its session.
    Otherwise it starts a session, and a prefix that sessions share is no hit. `timestamp`, in
    milliseconds, is when a request came: a gap is from request to request, a session begins
    with its first.
    """
    sessions: list[list[_Request]] = []
    times_s: list[list[float]] = []
    owners: dict[int, tuple[int, int]] = {}  # block id -> (session, request) that last held it
    for line, call in _lines(path, _MooncakeRequest):
        blocks = -(-call.input_length // _MOONCAKE_BLOCK)
        if len(call.hash_ids) != blocks:
            raise TraceError(
                f"{path}:{line}: hash_ids: {len(call.hash_ids)} ids for {call.input_length} "
                f"tokens, which are {blocks} blocks - at `$.hash_ids`"
            )
        shared = _shared_blocks(call.hash_ids, owners)
        session, parent = owners[call.hash_ids[shared - 1]] if shared else (len(sessions), -1)
        hit = 0
        if shared and parent == len(sessions[session]) - 1:
            hit = min(shared * _MOONCAKE_BLOCK, sessions[session][parent].prompt)
        else:
            session, parent = len(sessions), -1
            sessions.append([])
            times_s.append([])
        at_s = call.timestamp / 1000
        gap_s = _gap_s(None, at_s, times_s[session][-1]) if times_s[session] else 0.0
        times_s[session].append(at_s)
        sessions[session].append(
            _Request(call.input_length, max(1, call.output_length), hit, parent, gap_s)
        )
        owners.update(dict.fromkeys(call.hash_ids, (session, parent + 1)))
        if len(owners) > MAX_BLOCKS:
            raise TraceError(f"{path}:{line}: more than {MAX_BLOCKS} blocks: take a part of it")
        if len(sessions[session]) > MAX_SESSION_TURNS:
            raise TraceError(f"{path}:{line}: a session of more than {MAX_SESSION_TURNS} requests")
    for i, requests in enumerate(sessions):
        yield _chain(f"mooncake-{i}", requests, _MOONCAKE_BLOCK, times_s[i][0])


Reader = Callable[[Path], Iterator[Trajectory]]

READERS: dict[Format, Reader] = {
    "mini-swe-agent": read_mini_swe_agent,
    "kv-cache-tester": read_kv_cache_tester,
    "kv-cache-tester-raw": read_kv_cache_tester_raw,
    "mooncake": read_mooncake,
}


# rows as they stand in the files (what we use of them)


class _AgentCall(msgspec.Struct):
    prompt: Positive = msgspec.field(name="in")
    out: Count
    reason: Count
    append: Count
    t: Time = 0.0


class _AgentSession(msgspec.Struct):
    session: Name
    turns: Annotated[list[_AgentCall], msgspec.Meta(max_length=MAX_SESSION_TURNS)]


class _ConversationCall(msgspec.Struct):
    prompt: Positive = msgspec.field(name="in")
    out: Count
    hit: Count
    par: Annotated[int, msgspec.Meta(ge=-1)]
    t: Time = 0.0
    think: Time | None = None


class _Conversation(msgspec.Struct):
    session: Name
    turns: Annotated[list[_ConversationCall], msgspec.Meta(max_length=MAX_SESSION_TURNS)]


class _RawRequest(msgspec.Struct, tag_field="type", tag="n"):
    prompt: Positive = msgspec.field(name="in")
    out: Count
    hash_ids: list[int]
    t: Time = 0.0
    think_time: Time | None = None


class _RawStreamedRequest(_RawRequest, tag="s"):
    pass


_RawRequests: TypeAlias = Annotated[
    list["_RawRequest | _RawStreamedRequest | _RawSubagent"],
    msgspec.Meta(max_length=MAX_SESSION_TURNS),
]


class _RawSubagent(msgspec.Struct, tag_field="type", tag="subagent"):
    agent_id: Name
    requests: _RawRequests
    t: Time = 0.0


class _RawConversation(msgspec.Struct):
    id: Name
    block_size: Literal[64]
    requests: _RawRequests


class _MooncakeRequest(msgspec.Struct):
    input_length: Positive
    output_length: Count
    hash_ids: list[int]
    timestamp: Time = 0.0


# from requests to turns


def _keep(keep: int, context: int) -> int | None:
    return None if keep == context else keep


def _gap_s(think_s: float | None, at_s: float, before_s: float) -> float:
    """The time before a request: what is recorded, else since the request before it."""
    return max(0.0, at_s - before_s) if think_s is None else think_s


def _chain(name: str, requests: Sequence[_Request], block: int, start_s: float = 0.0) -> Trajectory:
    """Lay a session's prefix tree out along one chain of tokens."""
    contexts: list[int] = []
    shared: list[int] = []  # tokens that each request has in common with its parent
    turns: list[Turn] = []
    for i, request in enumerate(requests):
        shared.append(_shared_tokens(request, requests, contexts, block))
        keep = 0
        if i and request.parent >= 0:
            keep = min(shared[i], _common(i - 1, request.parent, requests, contexts, shared))
        previous = contexts[-1] if contexts else 0
        kept, gap_s = _keep(keep, previous), request.gap_s if i else 0.0
        turns.append(Turn(request.prompt - keep, request.gen, kept, gap_s))
        contexts.append(request.prompt + request.gen)
    return Trajectory(name=name, turns=tuple(turns), start_s=start_s)


def _shared_tokens(
    request: _Request, requests: Sequence[_Request], contexts: Sequence[int], block: int
) -> int:
    """Tokens a request has in common with its parent, the parent's generation included
    where the request goes on from all of it (block ids are of prompts and do not tell)."""
    if request.parent < 0:
        return 0
    parent, context = requests[request.parent], contexts[request.parent]
    if request.hit >= parent.prompt // block * block and request.prompt > context:
        return context
    return min(request.hit, request.prompt - 1, context)


def _common(
    a: int,
    b: int,
    requests: Sequence[_Request],
    contexts: Sequence[int],
    shared: Sequence[int],
) -> int:
    """Length of the prefix that requests `a` and `b` have in common, tokens."""
    common = max(contexts)
    while a != b:
        a, b = max(a, b), min(a, b)  # parents come before children: climb from the later
        common = min(common, shared[a])
        a = requests[a].parent
        if a < 0:
            return 0
    return min(common, contexts[a])


def _shared_blocks(hash_ids: Sequence[int], owners: dict[int, tuple[int, int]]) -> int:
    """Blocks of the longest known prefix. Ids are chained: one known, all before it are."""
    for blocks in range(len(hash_ids), 0, -1):
        if hash_ids[blocks - 1] in owners:
            return blocks
    return 0


def _agents(
    name: str,
    rows: Sequence[_RawRequest | _RawSubagent],
    path: Path,
    depth: int = 0,
    start_s: float = 0.0,
) -> Iterator[Trajectory]:
    if depth > MAX_NESTED:
        raise TraceError(f"{path}: subagents are nested too deeply, more than {MAX_NESTED}")
    requests: list[_Request] = []
    owners: dict[int, tuple[int, int]] = {}
    before_s = 0.0
    for row in rows:
        if isinstance(row, _RawSubagent):
            began_s = start_s + row.t
            yield from _agents(f"{name}/{row.agent_id}", row.requests, path, depth + 1, began_s)
            continue
        if len(row.hash_ids) * _CONVERSATION_BLOCK > row.prompt:
            raise TraceError(
                f"{path}: hash_ids: {len(row.hash_ids)} blocks of {_CONVERSATION_BLOCK} for a "
                f"prompt of {row.prompt} tokens - at request {len(requests)} of {name}"
            )
        blocks = _shared_blocks(row.hash_ids, owners)
        parent = owners[row.hash_ids[blocks - 1]][1] if blocks else -1
        owners.update(dict.fromkeys(row.hash_ids, (0, len(requests))))
        hit = blocks * _CONVERSATION_BLOCK
        gap_s, before_s = _gap_s(row.think_time, row.t, before_s), row.t
        requests.append(_Request(row.prompt, max(1, row.out), hit, parent, gap_s))
    yield _chain(name, requests, _CONVERSATION_BLOCK, start_s)


# reading


def _decode(data: bytes, row: type[Row], path: Path, line: int) -> Row:
    try:
        return msgspec.json.decode(data, type=row)
    except msgspec.DecodeError as error:  # a validation error names the field's path
        raise TraceError(f"{path}:{line}: {error}") from error
    except RecursionError:
        raise TraceError(f"{path}:{line}: nested too deeply") from None


def _lines(path: Path, row: type[Row]) -> Iterator[tuple[int, Row]]:
    for line, data in TraceFiles(path).lines(path):
        yield line, _decode(data, row, path, line)
