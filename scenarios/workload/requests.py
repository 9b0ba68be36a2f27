"""From recorded requests to turns: what all loaders share.

All formats record prompts whole. A loader turns each prompt into `keep` + `append` so that hit
and miss tokens add up to the recorded prompt length exactly. Sessions that go back to an older
prefix and on from there are laid out along one chain of tokens: where a request returns to a
branch that has been left, its tokens beyond the fork count as appended again, so hits are
under-estimated there, never over-estimated. What of a session's first prompt others had before
it, its parent or whoever has the same system prompt, is its `preloaded` context.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import msgspec

from plan.errors import TraceError
from plan.workload import Stems, Trajectory, Turn
from scenarios.workload.stems import Line, Tree
from scenarios.workload.trace_files import TraceFiles

MAX_TOKENS = 2**24
"""Of a prompt or a generation, beyond any model's context."""
MAX_SESSION_TURNS = 10_000
MAX_BLOCKS = 4_000_000
"""Different block ids of a trace; each takes some 100 bytes."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]
Name = Annotated[str, msgspec.Meta(max_length=200)]
Time = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Row = TypeVar("Row")


class Request(NamedTuple):
    """A recorded request: `hit` tokens of its prompt are the prompt of request `parent`
    (an index into the session, -1: none). `gap_s` seconds lie before it, see `Turn`."""

    prompt: int
    gen: int
    hit: int
    parent: int
    gap_s: float = 0.0


def keep_of(keep: int, context: int) -> int | None:
    """`Turn.keep` for so many tokens of a context."""
    return None if keep == context else keep


def gap_before_s(think_s: float | None, at_s: float, before_s: float) -> float:
    """The time before a request: what is recorded, else since the request before it."""
    return max(0.0, at_s - before_s) if think_s is None else think_s


def chain(
    name: str,
    requests: Sequence[Request],
    block: int,
    start_s: float = 0.0,
    preloaded: int = 0,
    stems: Stems = (),
) -> Trajectory:
    """Lay a session's prefix tree out along one chain of tokens.

    Args:
        block: tokens of a block, which hits are counted in.
        preloaded: tokens of the first prompt that others had before; one of it is always new.
        stems: what others may have of its blocks.
    """
    preloaded = min(preloaded, requests[0].prompt - 1)
    contexts: list[int] = []
    shared: list[int] = []  # tokens that each request has in common with its parent
    turns: list[Turn] = []
    for i, request in enumerate(requests):
        shared.append(_shared_tokens(request, requests, contexts, block))
        keep = preloaded if i == 0 else 0
        if i and request.parent >= 0:
            keep = min(shared[i], _common(i - 1, request.parent, requests, contexts, shared))
        previous = contexts[-1] if contexts else preloaded
        kept, gap_s = keep_of(keep, previous), request.gap_s if i else 0.0
        turns.append(Turn(request.prompt - keep, request.gen, kept, gap_s))
        contexts.append(request.prompt + request.gen)
    return Trajectory(
        name=name, turns=tuple(turns), start_s=start_s, preloaded=preloaded, stems=stems
    )


def _shared_tokens(
    request: Request, requests: Sequence[Request], contexts: Sequence[int], block: int
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
    requests: Sequence[Request],
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


def shared_blocks(hash_ids: Sequence[int], known: Container[int]) -> int:
    """Blocks of the longest known prefix. Ids are chained: one known, all before it are."""
    for blocks in range(len(hash_ids), 0, -1):
        if hash_ids[blocks - 1] in known:
            return blocks
    return 0


class Prompts:
    """A session whose prompts are lists of chained block ids: who held what first.

    Attributes:
        requests: those so far; preloaded: tokens of the first prompt that others had before.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._owners: dict[int, int] = {}
        self._line = Line()
        self._tree: Tree | None = None
        self.requests: list[Request] = []
        self.preloaded = 0

    def add(
        self, prompt: int, gen: int, hash_ids: Sequence[int] | None, gap_s: float, tree: Tree
    ) -> None:
        """A request: its hits are the longest prefix that an earlier one of the session held.
        Without ids it goes on from the one before.

        Args:
            tree: ids of all sessions so far, to which these are added.
        """
        if hash_ids is None:
            parent = len(self.requests) - 1
            hit = min(self.requests[-1].prompt, prompt) if self.requests else 0
            self.requests.append(Request(prompt, gen, hit, parent, gap_s))
            return
        if not self.requests:
            self.preloaded = shared_blocks(hash_ids, tree.known) * self._block
        blocks = shared_blocks(hash_ids, self._owners)
        parent = self._owners[hash_ids[blocks - 1]] if blocks else -1
        hit = min(blocks * self._block, self.requests[parent].prompt) if blocks else 0
        self._owners.update(dict.fromkeys(hash_ids, len(self.requests)))
        tree.add(hash_ids, prompt // self._block)
        self._line.follow(hash_ids[: prompt // self._block])
        self._tree = tree
        self.requests.append(Request(prompt, gen, hit, parent, gap_s))

    def chained(self, name: str, start_s: float = 0.0) -> Trajectory:
        """The session as a trajectory."""
        stems = self._tree.stems(self._line, self._block) if self._tree else ()
        return chain(name, self.requests, self._block, start_s, self.preloaded, stems)


def decode(data: bytes, row: type[Row], path: Path, line: int) -> Row:
    """A row of a trace.

    Raises:
        TraceError: it is none; names file, line and field.
    """
    try:
        return msgspec.json.decode(data, type=row)
    except msgspec.DecodeError as error:  # a validation error names the field's path
        raise TraceError(f"{path}:{line}: {error}") from error
    except RecursionError:
        raise TraceError(f"{path}:{line}: nested too deeply") from None


def rows(path: Path, row: type[Row]) -> Iterator[tuple[int, Row]]:
    """Numbered rows of a file of JSON lines.

    Raises:
        TraceError: as `decode`, or the file cannot be read.
    """
    for line, data in TraceFiles(path).lines(path):
        yield line, decode(data, row, path, line)
