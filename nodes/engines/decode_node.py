"""A decode node: DE buffer, H2D, generation, persisted blocks (section 1).

A request's DE buffer is registered as soon as it is assigned: on the DE read path its hits
come there from storage, and in either case the prefill engine completes it. Decode starts
by copying the whole prompt's KV to HBM through the engine's CNIC; new Full Blocks go to
storage at once. A decode engine batches everything it has. What becomes of the DE buffer
where the system has a DRAM pool, `dram_pool` tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

from nodes.engines.arrivals import Arrivals
from nodes.engines.budget import Budget
from nodes.engines.de_buffer import DeBuffer
from nodes.engines.decode import DecodeEngine, Sequence
from nodes.engines.engine_node import EngineNode
from nodes.engines.memory import Memory, allocated
from nodes.protocol.blocks import pieces
from nodes.protocol.messages import (
    Assign,
    Attempt,
    BufferReady,
    Done,
    HitsReady,
    Message,
    NeedBuffer,
    PrefillDone,
    Remote,
)
from nodes.protocol.world import Move, Region, Span, World
from nodes.storage.dram_pool import DramPool, Entry
from nodes.timing.timing import Timing
from plan.deployment import System
from plan.errors import Broken
from plan.fabric import Node
from plan.model import Plan
from plan.names import dram_end, hbm_end, node_of
from plan.records import RequestRecord


class DecodeNode(EngineNode[DecodeEngine]):
    """A decode node: one engine per GPU, one DE buffer, one SNIC with its read queue."""

    def __init__(
        self, world: World, plan: Plan, system: System, node: Node, timing: Timing
    ) -> None:
        super().__init__(
            world,
            plan,
            node,
            lambda name: DecodeEngine(world, plan, timing, name, self._completed_row),
        )
        self._system = system
        self._agents = plan.fabric.nodes_of("agents")[0].name
        self._buffers = self._buffer(f"the DE buffer of {node.name} (bytes)")
        pool_bytes = plan.dram_pool_bytes if system.dram_pool else 0.0
        self._pool = DramPool(world, pool_bytes / plan.block_bytes, self._leader.pooled)
        self._needed: Arrivals[None] = Arrivals()
        self._prefilled: Arrivals[PrefillDone] = Arrivals()
        self._wholes: set[Attempt] = set()

    def _handle_own(self, message: Message) -> None:
        match message:
            case NeedBuffer():
                if not self._late(message.attempt):
                    self._needed.bring(message.attempt, None)
            case PrefillDone():
                if not self._late(message.attempt):
                    self._wholes.add(message.attempt)
                    self._prefilled.bring(message.attempt, message)
            case _:
                raise TypeError(f"a decode node cannot handle {message!r}")

    @property
    def kept(self) -> int:
        return self._pool.kept

    def _whole(self, attempt: Attempt) -> bool:
        return attempt in self._wholes

    def _budgets(self) -> list[Budget]:
        return [self._buffers, *(engine.hbm for engine in self._engines.values())]

    def _awaited(self) -> Iterable[Arrivals[Any]]:
        return (self._needed, self._prefilled)

    async def _serve(self, assign: Assign) -> None:
        """A request's whole way through the node."""
        request, engine = assign.request, self._engines[assign.de]
        sequence, attempt, pooled = Sequence(assign, None), assign.attempt, 0
        try:
            with ExitStack() as held:
                if self._system.io:
                    with DeBuffer(
                        self._world, self._plan, self._buffers, self._pool, request
                    ) as buffer:
                        pooled = await self._receive(assign, engine, buffer)
                        prefill = await self._prefilled.take(attempt)
                        held.enter_context(await engine.hbm.lease(request.total))
                        rows = self._plan.layout.blocks(request.total)
                        sequence.hbm = held.enter_context(allocated(self._world, rows))
                        hits, hbm = prefill.hit_blocks, sequence.hbm
                        copy = partial(self._to_hbm, assign, hits, buffer, hbm)
                        sequence.pooled = await engine.between_steps(copy)
                else:
                    prefill = await self._prefilled.take(attempt)
                    held.enter_context(await engine.hbm.lease(request.total))
                if request.gen > 1:
                    await engine.decode(sequence)
        finally:
            self._wholes.discard(attempt)
            self._leader.finished(attempt)
        self._done(sequence, prefill, pooled)

    async def _receive(self, assign: Assign, engine: DecodeEngine, buffer: DeBuffer) -> int:
        """Register the DE buffer once it is needed, and bring this side's hits there; returns
        how many of them the pool had there already."""
        request, attempt = assign.request, assign.attempt
        asked = self._storage.blocks_asked(request)
        clock = self._world.clock
        asked_s = clock.now()
        lo = max(assign.pe_blocks, min(await buffer.find(), asked))
        wait_s = clock.now() - asked_s
        with self._storage.queued(asked - lo):
            if assign.pe_blocks or not asked:
                await self._needed.take(attempt)
                wait_s = 0.0  # until here it waited for the prefill side
            async with self._storage.turn if lo < asked else nullcontext():
                asked_s = clock.now()
                memory = await buffer.register()
                wait_s += clock.now() - asked_s
                remote = Remote(dram_end(assign.de), memory.region.key)
                self._world.send(node_of(assign.pe), BufferReady(attempt, remote))
                read = await self._read(request, lo, asked, memory, wait_s)
        if lo < asked:
            await engine.between_steps(partial(self._post, asked - lo))
        if assign.pe_blocks < asked:
            read = read._replace(upto=max(lo, read.upto))
            self._world.send(node_of(assign.pe), HitsReady(attempt, *read))
        return lo - assign.pe_blocks

    async def _post(self, rows: int) -> None:
        """Post what brings rows of the DE buffer to the prefill engine: their Layer Blocks."""
        clock = self._world.clock
        posting_s = rows * self._plan.model.layers * self._plan.submit_s
        await clock.sleep_until(clock.now() + posting_s)

    async def _to_hbm(
        self, assign: Assign, hits: int, buffer: DeBuffer, hbm: Memory
    ) -> Entry | None:
        """H2D of the prompt's KV, one Layer Block group after another, checked as it will
        be used; meanwhile the prompt's new Full Blocks go to storage."""
        request, layout, memory = assign.request, self._plan.layout, buffer.memory
        rows = layout.blocks(request.prompt)
        source = Remote(dram_end(assign.de), memory.region.key)
        h2d = [
            Move(hbm.region, Span(0, rows, group), source, "copy") for group in range(layout.groups)
        ]
        copied = self._world.read(hbm_end(assign.de), h2d)
        for used in (hbm, memory):
            used.use(copied)
        persisted, full = None, request.prompt // layout.tokens
        if hits < full:
            persisted = self._storage.persist(request, hits, full, memory.region, hits)
            memory.use(persisted)
        await hbm.settled()
        expected = pieces(request.agent, request.runs, 0, rows)
        corrupt = hbm.region.corrupt(expected, None)
        self._world.verified(rows * layout.groups, corrupt)
        if corrupt and self._recovery is not None:
            raise Broken(f"{corrupt} Layer Blocks of the prompt are not what they should be")
        return buffer.put_away(persisted)

    def _completed_row(self, sequence: Sequence, row: int) -> None:
        """64 more tokens have their KV: persist the Full Block."""
        hbm, request = sequence.hbm, sequence.assign.request
        assert hbm is not None
        hbm.region.fill(pieces(request.agent, request.runs, row, row + 1), None)
        entry = self._pool.entry(request.agent)
        if entry is not sequence.pooled:  # it is no more, or another attempt's
            entry = None
        task = self._world.spawn(self._persist_row(sequence.assign, hbm, row, entry))
        hbm.use(task)
        if entry is not None:
            entry.use(task)

    async def _persist_row(
        self, assign: Assign, hbm: Memory, row: int, entry: Entry | None
    ) -> None:
        """D2H through the CNIC, to its place in the pool if there is one; then out through
        the SNIC."""
        at = row if entry else 0
        with Memory(entry.region, _kept) if entry else allocated(self._world, 1) as staged:
            target = Remote(dram_end(assign.de), staged.region.key)
            d2h = Move(hbm.region, Span(row, row + 1), target, "copy", at)
            staged.use(self._world.write(hbm_end(assign.de), [d2h]))
            try:
                await staged.settled()
            except Broken:
                return  # the next turn will miss it
            if entry is not None:
                entry.ready = row + 1
            staged.use(self._storage.persist(assign.request, row, row + 1, staged.region, at))
            await staged.settled()

    def _path(self, assign: Assign, pooled: int) -> str:
        asked = self._storage.blocks_asked(assign.request)
        if assign.pe_blocks == asked:
            return "pe"
        if pooled == asked:
            return "pool"
        return "split" if assign.pe_blocks else "de"

    def _done(self, sequence: Sequence, prefill: PrefillDone, pooled: int) -> None:
        assign = sequence.assign
        request = assign.request
        # none is of use if the PE found less of its share than it was to read
        used = max(0, min(pooled, prefill.hit_blocks - assign.pe_blocks))
        self._world.send(
            self._agents,
            Done(
                RequestRecord(
                    request=request.number,
                    agent=request.agent,
                    turn=request.turn,
                    prompt_tokens=request.prompt,
                    hit_tokens=prefill.hit_blocks * self._plan.layout.tokens,
                    pool_tokens=used * self._plan.layout.tokens,
                    gen_tokens=request.gen,
                    pe=assign.pe,
                    de=assign.de,
                    path=self._path(assign, pooled) if self._system.io else None,
                    submit_s=request.submit_s,
                    assigned_s=assign.assigned_s,
                    read_start_s=prefill.read_start_s,
                    read_end_s=prefill.read_end_s,
                    buffer_wait_s=prefill.buffer_wait_s,
                    ready_s=prefill.ready_s,
                    prefill_start_s=prefill.prefill_start_s,
                    first_s=prefill.first_s,
                    second_s=sequence.second_s,
                    done_s=self._world.clock.now(),
                )
            ),
        )


def _kept(_: Region) -> None:
    """What is the pool's is not freed."""
