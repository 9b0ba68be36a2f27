"""A prefill node: it gets a request's hits into buffers, then queues it on its engine."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

from nodes.engines.arrivals import Arrivals
from nodes.engines.batches import Job
from nodes.engines.budget import Budget
from nodes.engines.engine_node import EngineNode, Reading
from nodes.engines.memory import Memory, allocated
from nodes.engines.prefill import PrefillEngine
from nodes.protocol.messages import (
    Assign,
    BufferReady,
    FirstToken,
    HitsReady,
    Message,
    NeedBuffer,
    PrefillDone,
    Remote,
)
from nodes.protocol.world import World
from nodes.timing.timing import Timing
from plan.deployment import System
from plan.fabric import Node
from plan.model import Plan
from plan.names import node_of


class PrefillNode(EngineNode[PrefillEngine]):
    """A prefill node: one engine per GPU, one PE buffer, one SNIC with its read queue."""

    def __init__(
        self, world: World, plan: Plan, system: System, node: Node, timing: Timing
    ) -> None:
        super().__init__(
            world,
            plan,
            node,
            lambda name: PrefillEngine(world, plan, system, timing, name),
            idle_s=0.0 if system.layerwise else plan.constants.fetch_interval_s,
        )
        self._system = system
        self._agents = plan.fabric.nodes_of("agents")[0].name
        self._room = self._buffer(f"the PE buffer of {node.name} (bytes)")
        self._buffers: Arrivals[Remote] = Arrivals()
        self._hits: Arrivals[Reading] = Arrivals()

    def _handle_own(self, message: Message) -> None:
        match message:
            case BufferReady():
                if not self._late(message.attempt):
                    self._buffers.bring(message.attempt, message.buffer)
            case HitsReady():
                if self._late(message.attempt):
                    return
                start_s, end_s = message.read_start_s, message.read_end_s
                read = Reading(message.upto, start_s, end_s, message.buffer_wait_s)
                self._hits.bring(message.attempt, read)
            case _:
                raise TypeError(f"a prefill node cannot handle {message!r}")

    def _budgets(self) -> list[Budget]:
        return [self._room, *(engine.hbm for engine in self._engines.values())]

    def _awaited(self) -> Iterable[Arrivals[Any]]:
        return (self._buffers, self._hits)

    async def _serve(self, assign: Assign) -> None:
        """A request's whole way through the node."""
        request, attempt = assign.request, assign.attempt
        engine = self._engines[assign.pe]
        asked = self._storage.blocks_asked(request) * self._plan.layout.tokens
        job = Job(assign, self._plan.layout.blocks(request.prompt), 0, 0, asked)
        try:
            with ExitStack() as held:
                if not self._system.io:
                    job.hits = asked // self._plan.layout.tokens
                    job.ready_s = self._world.clock.now()
                    first_s = await engine.prefill(job)
                elif self._system.layerwise:
                    await self._to_buffers(job, held, held)
                    first_s = await engine.prefill(job)
                else:
                    until_loaded = held.enter_context(ExitStack())
                    if self._system.paths == "pe":
                        await self._to_pe_buffer(job, held, until_loaded)
                    else:  # a DE buffer that a batch waits for may be another batch's
                        await self._to_buffers(job, held, until_loaded)
                    bring = partial(self._to_hbm, job, until_loaded)
                    buffer = partial(self._take_buffer, job)
                    first_s = await engine.prefill_whole(job, bring, buffer)
            self._world.send(self._agents, FirstToken(request.number, first_s))
            self._world.send(node_of(assign.de), _done(job, first_s))
        finally:
            self._leader.finished(attempt)

    async def _to_buffers(self, job: Job, held: ExitStack, until_loaded: ExitStack) -> None:
        """Have the hits in the buffers of the sides that read them, and a DE buffer.

        Whoever needs both buffers takes the PE buffer first, so nobody waits in a ring.
        """
        assign, pe_blocks = job.assign, job.assign.pe_blocks
        asked = self._storage.blocks_asked(assign.request)
        there = None
        here = await self._read_here(job, until_loaded)
        asked_s = self._world.clock.now()
        if pe_blocks == asked:
            self._need_buffer(assign)
        job.buffer = await self._buffers.take(assign.attempt)
        if pe_blocks < asked:
            there = await self._hits.take(assign.attempt)
        else:
            job.buffer_wait_s = self._world.clock.now() - asked_s
        self._ready(job, held, here, there)

    async def _to_pe_buffer(self, job: Job, held: ExitStack, until_loaded: ExitStack) -> None:
        """Have the hits in the PE buffer."""
        self._ready(job, held, await self._read_here(job, until_loaded), None)

    async def _read_here(self, job: Job, until_loaded: ExitStack) -> Reading | None:
        """Read this side's share into a PE buffer, when it is its turn."""
        assign, blocks = job.assign, job.assign.pe_blocks
        if not blocks:
            return None
        with self._storage.queued(blocks):
            async with self._storage.turn:
                job.pe_buffer, wait_s = await self._pe_buffer(blocks, until_loaded)
                if blocks < self._storage.blocks_asked(assign.request):
                    self._need_buffer(assign)
                return await self._read(assign.request, 0, blocks, job.pe_buffer, wait_s)

    async def _to_hbm(self, job: Job, until_loaded: ExitStack) -> None:
        """Have the hits in HBM; the PE buffer is free again."""
        await self._engines[job.assign.pe].load(job)
        job.pe_buffer = None
        until_loaded.close()

    async def _pe_buffer(self, blocks: int, held: ExitStack) -> tuple[Memory, float]:
        """A PE buffer, and how long it was waited for, model seconds."""
        asked_s = self._world.clock.now()
        lease = await self._room.lease(blocks * self._plan.block_bytes)
        wait_s = self._world.clock.now() - asked_s
        return held.enter_context(allocated(self._world, blocks, lease)), wait_s

    def _ready(
        self, job: Job, held: ExitStack, here: Reading | None, there: Reading | None
    ) -> None:
        """Its hits are where they were to be read; it has room for its prompt."""
        job.local, job.hits, job.read = _joined(here, there, job.assign.pe_blocks)
        job.tokens = job.hits * self._plan.layout.tokens
        job.ready_s = self._world.clock.now()
        job.hbm = held.enter_context(allocated(self._world, job.rows))

    async def _take_buffer(self, job: Job) -> None:
        if job.buffer is not None:
            return
        self._need_buffer(job.assign)
        job.buffer = await self._buffers.take(job.assign.attempt)

    def _need_buffer(self, assign: Assign) -> None:
        self._world.send(node_of(assign.de), NeedBuffer(assign.attempt))


def _done(job: Job, first_s: float) -> PrefillDone:
    read = job.read
    assert job.prefill_start_s is not None
    return PrefillDone(
        job.assign.attempt,
        job.hits,
        read.start_s if read else None,
        read.end_s if read else None,
        job.buffer_wait_s + (read.buffer_wait_s if read else 0.0),
        job.ready_s,
        job.prefill_start_s,
        first_s,
    )


def _joined(
    here: Reading | None, there: Reading | None, pe_blocks: int
) -> tuple[int, int, Reading | None]:
    """Hits on this side, hits on both, and the whole time of reading. What the decode side
    read is of use only if this side found all of its blocks. It began with the PE buffer at
    hand, so that if it ended last, the request waited for both buffers."""
    local = here.upto if here else 0
    hits = max(local, there.upto) if there and local == pe_blocks else local
    reads = [read for read in (here, there) if read is not None]
    if not reads:
        return local, hits, None
    start_s, end_s = min(r.start_s for r in reads), max(r.end_s for r in reads)
    waits = [r.buffer_wait_s for r in reads if r is here or r.end_s == end_s]
    return local, hits, Reading(hits, start_s, end_s, sum(waits))
