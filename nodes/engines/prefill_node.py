"""A prefill node: it gets a request's hits into buffers, then queues it on its engine."""

from __future__ import annotations

from contextlib import ExitStack

from nodes.engines.arrivals import Arrivals
from nodes.engines.batches import Job
from nodes.engines.engine_node import EngineNode, Reading
from nodes.engines.memory import allocated
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
        )
        self._system = system
        self._agents = plan.fabric.nodes_of("agents")[0].name
        self._room = self._buffer(f"the PE buffer of {node.name} (bytes)")
        self._buffers: Arrivals[Remote] = Arrivals()
        self._hits: Arrivals[Reading] = Arrivals()

    def _handle_own(self, message: Message) -> None:
        match message:
            case Assign():
                self._leader.changed()
                self._world.spawn(self._serve(message))
            case BufferReady():
                self._buffers.bring(message.attempt, message.buffer)
            case HitsReady():
                start_s, end_s = message.read_start_s, message.read_end_s
                read = Reading(message.upto, start_s, end_s, message.buffer_wait_s)
                self._hits.bring(message.attempt, read)
            case _:
                raise TypeError(f"a prefill node cannot handle {message!r}")

    async def _serve(self, assign: Assign) -> None:
        """A request's whole way through the node.

        Whoever needs both buffers takes the PE buffer first, so nobody waits in a ring.
        """
        request, attempt = assign.request, assign.attempt
        layout, clock = self._plan.layout, self._world.clock
        rows, asked = layout.blocks(request.prompt), self._storage.blocks_asked(request)
        here, there, pe_blocks = None, None, assign.pe_blocks
        try:
            with ExitStack() as held:
                job = Job(assign, rows, asked, 0, asked * layout.tokens)
                if pe_blocks and self._system.io:
                    with self._storage.queued(pe_blocks):
                        async with self._storage.turn:
                            asked_s = clock.now()
                            lease = await self._room.lease(pe_blocks * self._plan.block_bytes)
                            wait_s = clock.now() - asked_s
                            job.pe_buffer = held.enter_context(
                                allocated(self._world, pe_blocks, lease)
                            )
                            if pe_blocks < asked:
                                self._need_buffer(assign)
                            here = await self._read(request, 0, pe_blocks, job.pe_buffer, wait_s)
                if self._system.io:
                    asked_s = clock.now()
                    if pe_blocks == asked:
                        self._need_buffer(assign)
                    job.buffer = await self._buffers.take(attempt)
                    if pe_blocks < asked:
                        there = await self._hits.take(attempt)
                    else:
                        job.buffer_wait_s = clock.now() - asked_s
                    job.local, job.hits, job.read = _joined(here, there, pe_blocks)
                    job.tokens = job.hits * layout.tokens
                    job.hbm = held.enter_context(allocated(self._world, rows))
                job.ready_s = clock.now()
                first_s = await self._engines[assign.pe].prefill(job)
            self._world.send(self._agents, FirstToken(request.number, first_s))
            self._world.send(node_of(assign.de), _done(job, first_s))
        finally:
            self._leader.finished(attempt)

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
