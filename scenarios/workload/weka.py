"""Conversations with block ids and nested subagents, as Weka's kv-cache-tester records them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from plan.errors import TraceError
from plan.workload import Trajectory
from scenarios.workload.requests import (
    MAX_SESSION_TURNS,
    Count,
    Name,
    Positive,
    Prompts,
    Time,
    decode,
    gap_before_s,
)
from scenarios.workload.stems import Tree
from scenarios.workload.trace_files import TraceFiles

MAX_NESTED = 50
"""Subagents of subagents."""

Head = tuple[int, int]
"""Tokens of a conversation's tools and of its system prompt."""


def read_weka(path: Path) -> Iterator[Trajectory]:
    """Conversations with block ids: a file, a file of one a line (`*.jsonl`), or all `*.json*` of
    a folder.

    Hits are found as the cache would: the longest prefix of blocks that an earlier
    request of the same agent held. A subagent becomes a trajectory of its own,
    `<id>/<agent id>`, which begins `t` seconds after its parent; when that began is not
    recorded. What of a subagent's first prompt its parent or an earlier sibling held is
    preloaded, and so is what a conversation has of tools and system prompt where an earlier one
    has as many tokens of both (ids are of a file). `think_time` is the gap before a request, or
    else from `t` to `t`.
    """
    trace = TraceFiles(path)
    files = trace.named("*.json*")
    if not files:
        raise TraceError(f"{path}: no *.json or *.json.gz in this folder")
    heads = _Heads()
    for file in files:
        for one in _conversations(trace, file):
            yield from _Family(one, file, heads).agents(one.id, one.requests, one.head)


def _conversations(trace: TraceFiles, file: Path) -> Iterator[_Conversation]:
    if ".jsonl" in file.suffixes:
        for line, data in trace.lines(file):
            yield decode(data, _Conversation, file, line)
    else:
        yield decode(trace.document(file), _Conversation, file, 1)


class _Heads:
    """What conversations begin with.

    Attributes:
        numbers: of all stems of the trace.
    """

    def __init__(self) -> None:
        self.numbers = count()
        self._stems: dict[Head, int] = {}
        self._known: set[Head] = set()

    def stem(self, head: Head) -> int:
        """Tools and system prompt as what those have in common that begin with them."""
        if head not in self._stems:
            self._stems[head] = next(self.numbers)
        return self._stems[head]

    def known(self, head: Head) -> bool:
        """Whether a conversation before had as many tokens of both; this one has them now."""
        before = head in self._known
        self._known.add(head)
        return before


class _Family:
    """The agents of a conversation: block ids mean the same to all of them.

    Args:
        heads: of all conversations before.
    """

    def __init__(self, conversation: _Conversation, path: Path, heads: _Heads) -> None:
        self._block = conversation.block_size
        self._path = path
        self._heads = heads
        self._tree = Tree(heads.numbers)

    def agents(
        self,
        name: str,
        rows: Sequence[_Request | _Subagent],
        head: Head,
        depth: int = 0,
        start_s: float = 0.0,
    ) -> Iterator[Trajectory]:
        """Subagents as they come in the file, then the agent itself."""
        if depth > MAX_NESTED:
            problem = f"subagents are nested too deeply, more than {MAX_NESTED}"
            raise TraceError(f"{self._path}: {problem}")
        prompts, before_s = Prompts(self._block), 0.0
        for row in rows:
            if isinstance(row, _Subagent):
                began_s, inner = start_s + row.t, f"{name}/{row.agent_id}"
                yield from self.agents(inner, row.requests, row.head, depth + 1, began_s)
                continue
            self._check(row, len(prompts.requests), name)
            gap_s, before_s = gap_before_s(row.think_time, row.t, before_s), row.t
            if not prompts.requests:
                begins = (row.hash_ids or [])[: self._blocks(head)]
                self._tree.begin(begins, self._heads.stem(head))
            prompts.add(row.prompt, max(1, row.out), row.hash_ids, gap_s, self._tree)
        if prompts.requests:
            if self._heads.known(head):
                prompts.preloaded = max(prompts.preloaded, self._blocks(head) * self._block)
            yield prompts.chained(name, start_s)

    def _blocks(self, head: Head) -> int:
        return sum(head) // self._block

    def _check(self, row: _Request, number: int, name: str) -> None:
        if row.hash_ids and len(row.hash_ids) * self._block > row.prompt:
            raise TraceError(
                f"{self._path}: hash_ids: {len(row.hash_ids)} blocks of {self._block} for a "
                f"prompt of {row.prompt} tokens - at request {number} of {name}"
            )


# rows as they stand in the files (what we use of them)


class _Request(msgspec.Struct, tag_field="type", tag="n"):
    prompt: Positive = msgspec.field(name="in")
    out: Count
    hash_ids: list[int] | None = None
    t: Time = 0.0
    think_time: Time | None = None


class _StreamedRequest(_Request, tag="s"):
    pass


_Requests: TypeAlias = Annotated[
    list["_Request | _StreamedRequest | _Subagent"],
    msgspec.Meta(max_length=MAX_SESSION_TURNS),
]


class _Subagent(msgspec.Struct, tag_field="type", tag="subagent"):
    agent_id: Name
    requests: _Requests
    t: Time = 0.0
    tool_tokens: Count = 0
    system_tokens: Count = 0

    @property
    def head(self) -> Head:
        return self.tool_tokens, self.system_tokens


class _Conversation(msgspec.Struct):
    id: Name
    block_size: Literal[64]
    requests: _Requests
    tool_tokens: Count = 0
    system_tokens: Count = 0

    @property
    def head(self) -> Head:
        return self.tool_tokens, self.system_tokens
