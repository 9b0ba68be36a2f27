"""A decode node: DE buffer, H2D, generation, persisted blocks (section 1).

A request's DE buffer is registered as soon as it is assigned: on the DE read path its hits
come there from storage, and in either case the prefill engine completes it. Decode starts
by copying the whole prompt's KV to HBM through the engine's CNIC; new Full Blocks go to
storage at once. A decode engine batches everything it has. What becomes of the DE buffer
where the system has a DRAM pool, `dram_pool` tells.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

from nodes.engines.arrivals import Arrivals
from nodes.engines.budget import Budget
from nodes.engines.decode import DecodeEngine, Sequence
from nodes.engines.engine_node import EngineNode
from nodes.protocol.blocks import pieces
from nodes.protocol.messages import (
    Assign,
    BufferReady,
    Done,
    HitsReady,
    Message,
    NeedBuffer,
    PrefillDone,
    Remote,
    Request,
)
from nodes.protocol.world import Move, Region, Span, World
from nodes.storage.client import ReadTicket
from nodes.storage.dram_pool import DramPool, Entry
from nodes.timing.timing import Timing
from plan.deployment import System
from plan.fabric import Node
from plan.model import Plan
from plan.names import dram_end, hbm_end, node_of
from plan.records import RequestRecord


class _Buffer(NamedTuple):
    """A request's DE buffer.

    Attributes:
        charge: bytes of the node's DE buffer that it takes.
        leased: the pool entry that it was before; its rows are charged to the pool.
        pooled: hit rows that came from there.
    """

    region: Region
    charge: float
    leased: Entry | None
    pooled: int


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
        self._buffers = Budget(f"the DE buffer of {node.name} (bytes)", plan.dram_buffer_bytes)
        pool_bytes = plan.dram_pool_bytes if system.dram_pool else 0.0
        self._pool = DramPool(world, pool_bytes / plan.block_bytes, self._leader.pooled)
        self._needed: Arrivals[None] = Arrivals()
        self._prefilled: Arrivals[PrefillDone] = Arrivals()

    def _handle_own(self, message: Message) -> None:
        match message:
            case Assign():
                self._leader.changed()
                self._world.spawn(self._serve(message))
            case NeedBuffer():
                self._needed.bring(message.attempt, None)
            case PrefillDone():
                self._prefilled.bring(message.attempt, message)
            case _:
                raise TypeError(f"a decode node cannot handle {message!r}")

    async def _serve(self, assign: Assign) -> None:
        """A request's whole way through its decode engine."""
        request = assign.request
        engine = self._engines[assign.de]
        buffer = await self._receive(assign) if self._system.io else None
        prefill = await self._prefilled.take(assign.attempt)
        await engine.hbm.take(request.total)
        hbm = await self._to_hbm(assign, prefill, buffer) if buffer else None
        finished = asyncio.get_running_loop().create_future()
        sequence = Sequence(assign, hbm, finished)
        if request.gen > 1:
            engine.join(sequence)
            await finished
        engine.hbm.give_back(request.total)
        self._done(sequence, prefill, buffer.pooled if buffer else 0)

    async def _receive(self, assign: Assign) -> _Buffer:
        """Register the DE buffer once it is needed, and bring this side's hits there; those
        that the pool has are there already."""
        request = assign.request
        asked = self._storage.blocks_asked(request)
        leased = await self._pool.lease(request)
        lo = assign.pe_blocks
        if leased is not None:
            lo = max(lo, min(leased.ready, asked))
        rows = self._plan.layout.blocks(request.prompt) - (leased.rows if leased else 0)
        charge = max(0, rows) * self._plan.block_bytes
        room = partial(self._make_room, assign, charge, leased)
        if lo < asked:
            self._storage.expect(lo, asked)
        if assign.pe_blocks or not asked:
            await self._needed.take(assign.attempt)
        if lo < asked:
            region, read = await self._storage.read(request, lo, asked, room)
        else:
            region, now_s = await room(), self._world.clock.now()
            read = ReadTicket(lo, now_s, now_s)
        if assign.pe_blocks < asked:
            read = read._replace(upto=max(lo, read.upto))
            self._world.send(node_of(assign.pe), HitsReady(assign.attempt, *read))
        return _Buffer(region, charge, leased, lo - assign.pe_blocks)

    async def _make_room(self, assign: Assign, charge: float, leased: Entry | None) -> Region:
        await self._buffers.take(charge)
        rows = self._plan.layout.blocks(assign.request.total)
        region = leased.region if leased else self._world.allocate(rows)
        region.grow(rows)
        remote = Remote(dram_end(assign.de), region.key)
        self._world.send(node_of(assign.pe), BufferReady(assign.attempt, remote))
        return region

    async def _to_hbm(self, assign: Assign, prefill: PrefillDone, buffer: _Buffer) -> Region:
        """H2D of the prompt's KV, one Layer Block group after another, checked as it will
        be used; meanwhile the prompt's new Full Blocks go to storage."""
        request = assign.request
        rows = self._plan.layout.blocks(request.prompt)
        hbm = self._world.allocate(self._plan.layout.blocks(request.total))
        source = Remote(dram_end(assign.de), buffer.region.key)
        copied = self._world.read(
            hbm_end(assign.de),
            [
                Move(hbm, Span(0, rows, group), source, "copy")
                for group in range(self._plan.layout.groups)
            ],
        )
        persisted = self._world.spawn(self._persist_prompt(assign, prefill, buffer.region))
        await copied
        expected = pieces(request.agent, request.runs, 0, rows)
        self._world.verified(rows * self._plan.layout.groups, hbm.corrupt(expected, None))
        self._put_away(request, buffer, persisted)
        return hbm

    def _put_away(self, request: Request, buffer: _Buffer, persisted: asyncio.Task[None]) -> None:
        """The DE buffer has served: into the pool, or free as soon as all is persisted."""
        layout = self._plan.layout
        rows, ready = layout.blocks(request.total), request.prompt // layout.tokens
        entry = self._pool.keep(request, buffer.region, rows, ready, buffer.leased)
        if entry is None:
            self._world.spawn(self._free_after(persisted, request, buffer))
        else:
            entry.use(persisted)
            self._buffers.give_back(buffer.charge)

    async def _persist_prompt(self, assign: Assign, prefill: PrefillDone, buffer: Region) -> None:
        request = assign.request
        full = request.prompt // self._plan.layout.tokens
        if full > prefill.hit_blocks:
            lo = prefill.hit_blocks
            await self._storage.persist(request, lo, full, buffer, lo)

    async def _free_after(
        self, persisted: asyncio.Task[None], request: Request, buffer: _Buffer
    ) -> None:
        await persisted
        if buffer.leased is not None:
            self._pool.forget(request.agent, buffer.leased)
        else:
            self._world.free(buffer.region)
        self._buffers.give_back(buffer.charge)

    def _completed_row(self, sequence: Sequence, row: int) -> None:
        """64 more tokens have their KV: persist the Full Block."""
        assert sequence.hbm is not None
        request = sequence.assign.request
        sequence.hbm.fill(pieces(request.agent, request.runs, row, row + 1), None)
        entry = self._pool.entry(request.agent)
        task = self._world.spawn(self._persist_row(sequence.assign, sequence.hbm, row, entry))
        if entry is not None:
            entry.use(task)

    async def _persist_row(
        self, assign: Assign, hbm: Region, row: int, entry: Entry | None
    ) -> None:
        """D2H through the CNIC, to its place in the pool if there is one; then out through
        the SNIC."""
        staged, at = (entry.region, row) if entry else (self._world.allocate(1), 0)
        target = Remote(dram_end(assign.de), staged.key)
        d2h = Move(hbm, Span(row, row + 1), target, "copy", at)
        await self._world.write(hbm_end(assign.de), [d2h])
        if entry is not None:
            entry.ready = row + 1
        await self._storage.persist(assign.request, row, row + 1, staged, at)
        if entry is None:
            self._world.free(staged)

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
        if sequence.hbm is not None:
            self._world.free(sequence.hbm)
        self._leader.finished(assign.attempt)
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
                    prefill_start_s=prefill.prefill_start_s,
                    first_s=prefill.first_s,
                    second_s=sequence.second_s,
                    done_s=self._world.clock.now(),
                )
            ),
        )
