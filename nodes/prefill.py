"""Prefill engines and their node: hits in, layer by layer, computed KV out (paper section 1).

For every Layer Block group: load the hits into HBM (from the own PE buffer on the PE read
path, from the DE buffer on the DE read path), compute the layers for the missed tokens,
write the KV to the DE buffer (hits and misses on the PE path, misses only on the DE path).
With layerwise prefill, group i + 1 loads while group i computes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from nodes.blocks import pieces
from nodes.budget import Budget
from nodes.compute import attention_s, free_hbm_bytes, prefill_layer_s
from nodes.engine_name import dram_end, engine_name, hbm_end, node_of
from nodes.intra_engine import Chunk, pack
from nodes.leader import Leader
from nodes.messages import (
    Assign,
    BlocksRead,
    BlocksStored,
    BufferReady,
    HitsReady,
    Message,
    PrefillDone,
    Remote,
    Report,
    Request,
)
from nodes.storage_client import ReadTicket, StorageClient
from nodes.world import Region, Span, World
from plan.deployment import System
from plan.fabric import Node
from plan.model import Plan

T = TypeVar("T")

GROUPS_AHEAD = 2
"""Layer Block groups in HBM at once: the one that computes and the next one, loading."""


@dataclass(slots=True, eq=False)
class _Job:
    """A request in its prefill engine.

    Attributes:
        hits: leading rows that were read from storage; source: where they are.
        buffer: the DE buffer, the KV's destination (None without I/O).
        hbm: region of the whole prompt; tokens: how many of them have their KV-Cache.
    """

    assign: Assign
    rows: int
    hits: int
    tokens: int
    read: ReadTicket | None
    source: Remote | None
    buffer: Remote | None
    hbm: Region | None
    pe_buffer: Region | None
    prefill_start_s: float | None = None
    sent: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def request(self) -> Request:
        return self.assign.request


class _Part(NamedTuple):
    """A job's chunk in a forward batch: new tokens, and the rows they complete."""

    job: _Job
    cached: int
    bsz: int
    lo: int
    hi: int
    first: bool

    @property
    def last(self) -> bool:
        return self.cached + self.bsz == self.job.request.prompt


class _Stage(NamedTuple):
    """One Layer Block group of one forward batch, its loads under way."""

    parts: list[_Part]
    group: int
    loads: list[asyncio.Future[None]]
    not_before_s: float


class PrefillEngine:
    """One GPU of a prefill node."""

    def __init__(self, world: World, plan: Plan, system: System, name: str, leader: Leader):
        self.name = name
        self._world = world
        self._plan = plan
        self._system = system
        self._leader = leader
        self._groups = plan.layout.groups
        self._layers_per_group = plan.model.layers / plan.layout.groups
        self._ready: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._slots = asyncio.Semaphore(GROUPS_AHEAD)
        self._stages: asyncio.Queue[_Stage] = asyncio.Queue()
        self._computed = asyncio.Event()
        self._free_s = 0.0
        hbm = free_hbm_bytes(plan.model, plan.gpu, plan.ep_group["prefill"])
        self._hbm = Budget(f"HBM of {name} (tokens)", hbm / plan.model.token_bytes)

    def start(self) -> None:
        self._world.spawn(self._load())
        self._world.spawn(self._compute())

    def enqueue(self, job: _Job) -> None:
        """A request whose hits are in a buffer; batches are formed in this order."""
        self._ready.append(job)
        self._arrived.set()

    async def _load(self) -> None:
        """Form batches and bring their KV in, no further ahead than HBM allows."""
        while True:
            parts = await self._next_batch()
            for part in parts:
                if part.job.prefill_start_s is None:
                    part.job.prefill_start_s = self._world.clock.now()
            if self._system.layerwise:
                for group in range(self._groups):
                    await self._slots.acquire()
                    self._post(parts, group, self._loads(parts, group))
            else:
                self._computed.clear()
                loads = [load for g in range(self._groups) for load in self._loads(parts, g)]
                for group in range(self._groups):
                    self._post(parts, group, loads if group == 0 else [])
                await self._computed.wait()

    def _post(self, parts: list[_Part], group: int, loads: list[asyncio.Future[None]]) -> None:
        self._stages.put_nowait(_Stage(parts, group, loads, self._world.clock.now()))

    async def _next_batch(self) -> list[_Part]:
        while not self._ready:
            self._arrived.clear()
            await self._arrived.wait()
        candidates = await self._admitted()
        queue = [
            Chunk(i, job.tokens, job.request.prompt - job.tokens)
            for i, job in enumerate(candidates)
        ]
        batch = pack(queue, self._plan.constants.quota_s, self._attention_s)
        parts = [self._part(candidates[chunk.request], chunk) for chunk in batch]
        for part in parts:
            part.job.tokens += part.bsz
            if part.last:
                self._ready.popleft()
        if not self._system.layerwise:
            for job in candidates[len(parts) :]:
                self._hbm.give_back(job.request.prompt)
        return parts

    async def _admitted(self) -> list[_Job]:
        """Ready requests that HBM can take; without layerwise prefill all of a request's KV
        has to sit there (a cut request's does already)."""
        if self._system.layerwise:
            return list(self._ready)
        jobs = []
        for position, job in enumerate(list(self._ready)):
            held = position == 0 and job.prefill_start_s is not None
            if not held:
                if position == 0 or job.request.prompt <= self._hbm.free:
                    await self._hbm.take(job.request.prompt)
                else:
                    break
            jobs.append(job)
        return jobs

    def _attention_s(self, cached: int, bsz: int) -> float:
        return attention_s(self._plan.model, self._plan.gpu, [(cached, bsz)])

    def _part(self, job: _Job, chunk: Chunk) -> _Part:
        per_block = self._plan.layout.tokens
        end = chunk.cached + chunk.bsz
        hi = job.rows if end == job.request.prompt else end // per_block
        first = chunk.cached == job.hits * per_block
        return _Part(job, chunk.cached, chunk.bsz, chunk.cached // per_block, hi, first)

    def _loads(self, parts: list[_Part], group: int) -> list[asyncio.Future[None]]:
        """H2D, or DE buffer to PE HBM: what the batch needs of a group and HBM lacks."""
        loads: list[asyncio.Future[None]] = []
        for part in parts:
            job = part.job
            if job.hbm is None or not (part.first or self._system.layerwise):
                continue
            end = hbm_end(self.name)
            if job.hits:
                assert job.source is not None
                span = Span(0, job.hits, group)
                loads.append(self._world.read(job.hbm, span, end, job.source, "kv"))
            if part.lo > job.hits:  # computed by earlier chunks, and in the DE buffer since
                assert job.buffer is not None
                span = Span(job.hits, part.lo, group)
                loads.append(self._world.read(job.hbm, span, end, job.buffer, "kv"))
        return loads

    async def _compute(self) -> None:
        while True:
            stage = await self._stages.get()
            start = max(self._free_s, stage.not_before_s)
            for load in stage.loads:
                waits = not load.done()
                await load
                if waits:
                    start = max(start, self._world.clock.now())
            self._verify(stage)
            pairs = [(part.cached, part.bsz) for part in stage.parts]
            layer_s = prefill_layer_s(self._plan.model, self._plan.gpu, pairs)
            self._free_s = start + self._layers_per_group * layer_s
            await self._world.clock.sleep_until(self._free_s)
            self._produce(stage)
            if stage.group == self._groups - 1:
                self._end_batch(stage.parts)
            if self._system.layerwise:
                self._slots.release()

    def _verify(self, stage: _Stage) -> None:
        """The hits of the group are what this request's prefix must be."""
        for part in stage.parts:
            job = part.job
            if job.hbm is not None and part.lo:
                request = job.request
                expected = pieces(request.agent, request.runs, 0, part.lo)
                self._world.verified(part.lo, job.hbm.corrupt(expected, stage.group))

    def _produce(self, stage: _Stage) -> None:
        """The group's KV of the new tokens exists; send it where it is due."""
        for part in stage.parts:
            job = part.job
            if job.hbm is None:
                continue
            request = job.request
            job.hbm.fill(pieces(request.agent, request.runs, part.lo, part.hi), stage.group)
            if self._system.layerwise:
                self._send(part, stage.group)
            elif stage.group == self._groups - 1:
                for group in range(self._groups):
                    self._send(part, group)

    def _send(self, part: _Part, group: int) -> None:
        job = part.job
        lo = 0 if part.first and job.assign.side == "pe" else part.lo
        if lo < part.hi:
            assert job.hbm is not None
            assert job.buffer is not None
            span = Span(lo, part.hi, group)
            job.sent.append(self._world.write(job.hbm, span, hbm_end(self.name), job.buffer, "kv"))

    def _end_batch(self, parts: list[_Part]) -> None:
        for part in parts:
            if part.last:
                self._world.spawn(self._finish(part.job, self._world.clock.now()))
        self._computed.set()

    async def _finish(self, job: _Job, first_s: float) -> None:
        """The first token is out; once the KV has arrived, the DE takes over."""
        for arrival in job.sent:
            await arrival
        for region in (job.hbm, job.pe_buffer):
            if region is not None:
                self._world.free(region)
        if not self._system.layerwise:
            self._hbm.give_back(job.request.prompt)
        assert job.prefill_start_s is not None
        read = job.read
        self._world.send(
            node_of(job.assign.de),
            PrefillDone(
                job.request.number,
                job.hits,
                read.start_s if read else None,
                read.end_s if read else None,
                job.prefill_start_s,
                first_s,
            ),
        )
        self._leader.finished(job.request.number)


class PrefillNode:
    """A prefill node: one engine per GPU, one PE buffer, one SNIC with its read queue."""

    def __init__(self, world: World, plan: Plan, system: System, node: Node) -> None:
        self._world = world
        self._plan = plan
        self._system = system
        self._storage = StorageClient(world, plan, lambda: self._leader.changed())
        self._leader = Leader(world, plan, lambda: self._storage.queued_tokens)
        names = [engine_name(node.name, gpu) for gpu in range(node.gpus)]
        self._engines = {
            name: PrefillEngine(world, plan, system, name, self._leader) for name in names
        }
        self._buffers: dict[int, asyncio.Future[Remote]] = {}
        self._hits: dict[int, asyncio.Future[HitsReady]] = {}

    def start(self) -> None:
        for engine in self._engines.values():
            engine.start()
        self._world.spawn(self._leader.run())

    def handle(self, message: Message) -> None:
        match message:
            case Assign():
                self._leader.changed()
                self._world.spawn(self._admit(message))
            case BufferReady():
                self._expected(self._buffers, message.number).set_result(message.buffer)
            case HitsReady():
                self._expected(self._hits, message.number).set_result(message)
            case BlocksRead() | BlocksStored():
                self._storage.handle(message)
            case Report():
                self._leader.heard(message)
            case _:
                raise TypeError(f"a prefill node cannot handle {message!r}")

    async def _admit(self, assign: Assign) -> None:
        """Get the request's hits into a buffer, then queue it on its engine."""
        request = assign.request
        rows = self._plan.layout.blocks(request.prompt)
        engine = self._engines[assign.pe]
        if not self._system.io:
            hits = self._storage.blocks_asked(request)
            engine.enqueue(self._job(assign, rows, hits, None, None, None, None))
        elif assign.side == "pe":
            pe_buffer, read = None, None
            asked = self._storage.blocks_asked(request)
            if asked:
                pe_buffer = self._world.allocate(asked)
                read = await self._storage.read(request, pe_buffer)
            buffer = await self._arrival(self._buffers, request.number)
            source = Remote(dram_end(assign.pe), pe_buffer.key) if pe_buffer else None
            hits = read.blocks if read else 0
            engine.enqueue(self._job(assign, rows, hits, read, source, buffer, pe_buffer))
        else:
            buffer = await self._arrival(self._buffers, request.number)
            ready = await self._arrival(self._hits, request.number)
            read = ReadTicket(ready.blocks, ready.read_start_s, ready.read_end_s)
            engine.enqueue(self._job(assign, rows, ready.blocks, read, buffer, buffer, None))

    def _job(
        self,
        assign: Assign,
        rows: int,
        hits: int,
        read: ReadTicket | None,
        source: Remote | None,
        buffer: Remote | None,
        pe_buffer: Region | None,
    ) -> _Job:
        hbm = self._world.allocate(rows) if self._system.io else None
        tokens = hits * self._plan.layout.tokens
        return _Job(assign, rows, hits, tokens, read, source, buffer, hbm, pe_buffer)

    @staticmethod
    def _expected(waiting: dict[int, asyncio.Future[T]], number: int) -> asyncio.Future[T]:
        """What one message brings and one task awaits, whichever comes first."""
        if number not in waiting:
            waiting[number] = asyncio.get_running_loop().create_future()
        return waiting[number]

    async def _arrival(self, waiting: dict[int, asyncio.Future[T]], number: int) -> T:
        arrived = await self._expected(waiting, number)
        del waiting[number]
        return arrived
