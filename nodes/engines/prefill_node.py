"""A prefill node: it gets a request's hits into buffers, then queues it on its engine."""

from __future__ import annotations

from functools import partial

from nodes.engines.arrivals import Arrivals
from nodes.engines.batches import Job
from nodes.engines.budget import Budget
from nodes.engines.engine_node import EngineNode
from nodes.engines.prefill import PrefillEngine
from nodes.protocol.messages import Assign, BufferReady, HitsReady, Message, NeedBuffer, Remote
from nodes.protocol.world import Region, World
from nodes.storage.client import ReadTicket
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
            lambda name: PrefillEngine(
                world, plan, system, timing, name, self._leader, self._release
            ),
        )
        self._system = system
        self._pe_buffers = Budget(f"the PE buffer of {node.name} (bytes)", plan.dram_buffer_bytes)
        self._buffers: Arrivals[Remote] = Arrivals()
        self._hits: Arrivals[HitsReady] = Arrivals()

    def _handle_own(self, message: Message) -> None:
        match message:
            case Assign():
                self._leader.changed()
                self._world.spawn(self._admit(message))
            case BufferReady():
                self._buffers.bring(message.attempt, message.buffer)
            case HitsReady():
                self._hits.bring(message.attempt, message)
            case _:
                raise TypeError(f"a prefill node cannot handle {message!r}")

    async def _admit(self, assign: Assign) -> None:
        """Get the request's hits into buffers, then queue it on its engine."""
        request = assign.request
        rows = self._plan.layout.blocks(request.prompt)
        asked = self._storage.blocks_asked(request)
        tokens = self._plan.layout.tokens
        engine = self._engines[assign.pe]
        if not self._system.io:
            engine.enqueue(Job(assign, rows, asked, 0, asked * tokens, None, None, None, None))
            return
        here, pe_buffer = None, None
        splits = 0 < assign.pe_blocks < asked
        if assign.pe_blocks:
            self._storage.expect(0, assign.pe_blocks)
            room = partial(self._make_room, assign, splits=splits)
            pe_buffer, here = await self._storage.read(request, 0, assign.pe_blocks, room)
        if assign.pe_blocks == asked:
            self._need_buffer(assign)
        buffer = await self._buffers.take(assign.attempt)
        there = None
        if assign.pe_blocks < asked:
            ready = await self._hits.take(assign.attempt)
            there = ReadTicket(ready.upto, ready.read_start_s, ready.read_end_s)
        local, hits, read = _joined(here, there, assign.pe_blocks)
        hbm = self._world.allocate(rows)
        engine.enqueue(Job(assign, rows, hits, local, hits * tokens, read, pe_buffer, buffer, hbm))

    async def _make_room(self, assign: Assign, *, splits: bool) -> Region:
        """A PE buffer for what is read on this side.

        Whoever needs both buffers takes the PE buffer first, so nobody waits in a ring.
        """
        await self._pe_buffers.take(assign.pe_blocks * self._plan.block_bytes)
        if splits:
            self._need_buffer(assign)
        return self._world.allocate(assign.pe_blocks)

    def _need_buffer(self, assign: Assign) -> None:
        self._world.send(node_of(assign.de), NeedBuffer(assign.attempt))

    def _release(self, job: Job) -> None:
        """The request's hits are no longer needed on this side."""
        if job.pe_buffer is not None:
            self._world.free(job.pe_buffer)
            self._pe_buffers.give_back(job.assign.pe_blocks * self._plan.block_bytes)


def _joined(
    here: ReadTicket | None, there: ReadTicket | None, pe_blocks: int
) -> tuple[int, int, ReadTicket | None]:
    """Hits on this side, hits on both, and the whole time of reading. What the decode side
    read is of use only if this side found all of its blocks."""
    local = here.upto if here else 0
    hits = max(local, there.upto) if there and local == pe_blocks else local
    reads = [read for read in (here, there) if read is not None]
    if not reads:
        return local, hits, None
    start_s, end_s = min(r.start_s for r in reads), max(r.end_s for r in reads)
    return local, hits, ReadTicket(hits, start_s, end_s)
