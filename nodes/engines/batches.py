"""Requests that wait for a prefill engine, and the forward batches that are formed of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from nodes.engines.engine_node import Reading
from nodes.engines.memory import Memory
from nodes.protocol.messages import Assign, Remote, Request
from nodes.scheduling.intra_engine import Chunk, Packing
from plan.errors import Broken


@dataclass(slots=True, eq=False)
class Job:
    """A request in its prefill engine.

    Attributes:
        hits: leading rows that were read from storage; the first `local` of them into the
            PE buffer, the others into the DE buffer.
        tokens: how many of the prompt have their KV-Cache.
        read: over both sides (None: nothing was read).
        buffer_wait_s: how long it waited for the DE buffer after reading; ready_s: when it was
            queued.
        buffer: the DE buffer, the KV's destination; hbm: room for the whole prompt; both
            None without I/O.
        admitted: HBM can take it; called: its batch has begun, and it is to be brought where it
            was not before; here: it was. Cancelled where nobody waits for the request any more.
        gone: all of it is out of HBM again (None: nobody waits for that).
        first: when its first token was out, model seconds; cancelled where nobody waits for
            that any more.
    """

    assign: Assign
    rows: int
    hits: int
    local: int
    tokens: int
    read: Reading | None = None
    pe_buffer: Memory | None = None
    buffer: Remote | None = None
    hbm: Memory | None = None
    admitted: bool = False
    buffer_wait_s: float = 0.0
    ready_s: float = 0.0
    called: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    here: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    gone: asyncio.Future[None] | None = None
    prefill_start_s: float | None = None
    first: asyncio.Future[float] = field(default_factory=asyncio.Future)

    @property
    def request(self) -> Request:
        return self.assign.request

    @property
    def lacking(self) -> list[tuple[int, int]]:
        """Rows that are not in the DE buffer before the prefill engine writes there."""
        return _joined(self.local, self.hits, self.rows)

    def fail(self, error: Broken) -> None:
        """It cannot be computed: whoever waits for it is told."""
        if not self.first.done():
            self.first.set_exception(error)
            self.first.exception()


class Part(NamedTuple):
    """A job's chunk in a forward batch: new tokens, and the rows they complete."""

    job: Job
    cached: int
    bsz: int
    lo: int
    hi: int
    first: bool

    @property
    def last(self) -> bool:
        return self.cached + self.bsz == self.job.request.prompt

    @property
    def lacking(self) -> list[tuple[int, int]]:
        """What of them, and with the first chunk of the hits, the DE buffer lacks."""
        return _joined(self.job.local if self.first else 0, self.lo, self.hi)

    @property
    def moves(self) -> bool:
        """Whether its KV-Cache goes anywhere: with I/O, and while somebody waits for it."""
        return self.job.hbm is not None and not self.job.first.done()


class Batches:
    """The queue of one prefill engine, FIFO.

    Args:
        pack: what a forward batch takes of the queue.
        tokens: of a block.
    """

    def __init__(self, pack: Packing, tokens: int) -> None:
        self._pack = pack
        self._tokens = tokens
        self._queue: deque[Job] = deque()
        self._came = asyncio.Event()
        self._calls = False

    @property
    def waiting(self) -> bool:
        """Whether there is a request of which no batch has the end."""
        return bool(self._queue)

    def add(self, job: Job) -> None:
        """A request has its place in the queue."""
        self._queue.append(job)

    def admit(self, job: Job) -> None:
        """HBM can take it, and all before it."""
        job.admitted = True
        self._came.set()
        if self._calls:
            self._call()

    def drop(self, job: Job) -> None:
        """Nobody waits for it any more."""
        job.here.cancel()
        if job in self._queue:
            self._queue.remove(job)
            self._came.set()

    async def ready(self) -> None:
        """Wait for a request to form a batch of."""
        while not (self._queue and self._queue[0].admitted):
            self._came.clear()
            await self._came.wait()

    async def bring(self, closing: Awaitable[None]) -> None:
        """Have all requests that HBM can take before `closing` is over brought there."""
        self._calls = True
        self._call()
        await closing
        self._calls = False
        if coming := [job.here for job in self._admitted()]:
            await asyncio.wait(coming)

    def _call(self) -> None:
        for job in self._admitted():
            if not job.called.done():
                job.called.set_result(None)

    def form(self) -> list[Part]:
        """The next batch, of requests whose hits are where it needs them; none of those that
        were to be brought is left if all were dropped meanwhile."""
        jobs = [job for job in self._admitted() if job.here.done()]
        work = [Chunk(i, job.tokens, job.request.prompt - job.tokens) for i, job in enumerate(jobs)]
        parts = [self._part(jobs[chunk.request], chunk) for chunk in self._pack(work)]
        for part in parts:
            part.job.tokens += part.bsz
            if part.last:
                self._queue.remove(part.job)
        return parts

    def _admitted(self) -> list[Job]:
        return list(takewhile(lambda job: job.admitted, self._queue))

    def _part(self, job: Job, chunk: Chunk) -> Part:
        end = chunk.cached + chunk.bsz
        hi = job.rows if end == job.request.prompt else end // self._tokens
        first = chunk.cached == job.hits * self._tokens
        return Part(job, chunk.cached, chunk.bsz, chunk.cached // self._tokens, hi, first)


def _joined(local: int, lo: int, hi: int) -> list[tuple[int, int]]:
    """Rows `0 .. local` and `lo .. hi`."""
    if local == lo or not local:
        return [(0 if local else lo, hi)]
    return [(0, local), (lo, hi)]
