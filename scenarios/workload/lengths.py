"""Traces of lengths alone: sessions of turns with what each one's prompt has new, or as a hit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from plan.errors import TraceError
from plan.workload import Trajectory, Turn
from scenarios.workload.requests import (
    MAX_SESSION_TURNS,
    Count,
    Name,
    Positive,
    Request,
    Time,
    chain,
    gap_before_s,
    keep_of,
    rows,
)

_BLOCK = 64  # tokens of a prefix block in kv-cache-tester


def read_mini_swe_agent(path: Path) -> Iterator[Trajectory]:
    """Sessions of `lengths.jsonl`, one a line.

    An append of 0 counts as 1 and the generation is what stays in the context (out -
    reason, at least 1); where that makes the context longer than the recorded prompt, the
    turn keeps only so much of it that the prompt has its recorded length. `t` is when a call
    was made, so a gap is from call to call: how long a call took is not recorded, and neither
    is when a session began.
    """
    for line, session in rows(path, _AgentSession):
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
            gap_s = gap_before_s(None, call.t, before_s) if i else 0.0
            turns.append(
                Turn(append, max(1, call.out - call.reason), keep_of(keep, context), gap_s)
            )
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
    for line, session in rows(path, _Conversation):
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
            gap_s = gap_before_s(call.think, call.t, session.turns[i - 1].t)
            requests.append(Request(call.prompt, max(1, call.out), call.hit, call.par, gap_s))
        yield chain(session.session, requests, _BLOCK)


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
