"""Prefill engines: hits in, layer by layer, computed KV out (paper section 1).

For every Layer Block group: load the hits into HBM (from the own PE buffer what was read on
this side, from the DE buffer what was read there), compute the layers for the missed
tokens, write to the DE buffer what it lacks (hits read on this side, and the misses). With
layerwise prefill, group i + 1 loads while group i computes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from nodes.engines.batches import Job, Part
from nodes.engines.budget import Budget
from nodes.engines.collectives import Exchange
from nodes.engines.lockstep import Lockstep
from nodes.protocol.blocks import pieces
from nodes.protocol.messages import PrefillDone, Remote
from nodes.protocol.world import Move, Span, World
from nodes.scheduling.intra_engine import Chunk, packing
from nodes.scheduling.leader import Leader
from nodes.timing.timing import Timing
from plan.deployment import System
from plan.model import Plan
from plan.names import dram_end, hbm_end, node_of

GROUPS_AHEAD = 2
"""Layer Block groups in HBM at once: the one that computes and the next one, loading."""


class _Stage(NamedTuple):
    """One Layer Block group of one forward batch, its load under way."""

    parts: list[Part]
    group: int
    load: asyncio.Future[None] | None
    not_before_s: float


class PrefillEngine:
    """One GPU of a prefill node."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        system: System,
        timing: Timing,
        name: str,
        leader: Leader,
        release: Callable[[Job], None],
    ) -> None:
        self.name = name
        self._world = world
        self._plan = plan
        self._system = system
        self._timing = timing
        self._leader = leader
        self._release = release
        self._pack = packing(system, plan.constants, timing.predictor.attention_s)
        self._groups = plan.layout.groups
        self._layers_per_group = plan.model.layers / plan.layout.groups
        self._ready: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._slots = asyncio.Semaphore(GROUPS_AHEAD)
        self._stages: asyncio.Queue[_Stage] = asyncio.Queue()
        self._computed = asyncio.Event()
        self._free_s = 0.0
        self._formed = 0
        group = plan.group_of(world.node)
        gpus = {node.name: node.gpus for node in plan.fabric.nodes}
        self._group_engines = sum(gpus[node] for node in group)
        self._exchange = Exchange(world, plan, name, group)
        self._lockstep = None
        together = plan.ep_group["prefill"] > 1 or plan.collectives == "tensor"
        if together and self._group_engines > 1:
            self._lockstep = Lockstep(world, name, group[0])
        self._hbm = Budget(f"HBM of {name} (tokens)", timing.kv_capacity)

    def start(self) -> None:
        self._world.spawn(self._load())
        self._world.spawn(self._compute())

    def go(self, tokens: int) -> None:
        """The expert-parallel group goes on."""
        assert self._lockstep is not None
        self._lockstep.go(tokens)

    def enqueue(self, job: Job) -> None:
        """A request whose hits are in a buffer; batches are formed in this order."""
        self._ready.append(job)
        self._arrived.set()

    async def _load(self) -> None:
        """Form batches and bring their KV in, no further ahead than HBM allows."""
        while True:
            parts = await self._next_batch()
            self._formed += 1
            if self._lockstep is not None:
                self._lockstep.join()
            for part in parts:
                if part.job.prefill_start_s is None:
                    part.job.prefill_start_s = self._world.clock.now()
            if self._system.layerwise:
                for group in range(self._groups):
                    await self._slots.acquire()
                    self._post(parts, group, self._load_groups(parts, [group]))
            else:
                self._computed.clear()
                load = self._load_groups(parts, range(self._groups))
                for group in range(self._groups):
                    self._post(parts, group, load if group == 0 else None)
                await self._computed.wait()

    def _post(self, parts: list[Part], group: int, load: asyncio.Future[None] | None) -> None:
        self._stages.put_nowait(_Stage(parts, group, load, self._world.clock.now()))

    async def _next_batch(self) -> list[Part]:
        while not self._ready:
            self._arrived.clear()
            await self._arrived.wait()
        candidates = await self._admitted()
        queue = [
            Chunk(i, job.tokens, job.request.prompt - job.tokens)
            for i, job in enumerate(candidates)
        ]
        parts = [self._part(candidates[chunk.request], chunk) for chunk in self._pack(queue)]
        for part in parts:
            part.job.tokens += part.bsz
            if part.last:
                self._ready.popleft()
        if not self._system.layerwise:
            for job in candidates[len(parts) :]:
                self._hbm.give_back(job.request.prompt)
        return parts

    async def _admitted(self) -> list[Job]:
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

    def _part(self, job: Job, chunk: Chunk) -> Part:
        per_block = self._plan.layout.tokens
        end = chunk.cached + chunk.bsz
        hi = job.rows if end == job.request.prompt else end // per_block
        first = chunk.cached == job.hits * per_block
        return Part(job, chunk.cached, chunk.bsz, chunk.cached // per_block, hi, first)

    def _load_groups(self, parts: list[Part], groups: Iterable[int]) -> asyncio.Future[None] | None:
        """H2D, or DE buffer to PE HBM: what the batch needs of groups and HBM lacks."""
        moves: list[Move] = []
        for group in groups:
            for part in parts:
                job = part.job
                if job.hbm is None or not (part.first or self._system.layerwise):
                    continue
                if job.local:
                    assert job.pe_buffer is not None
                    here = Remote(dram_end(self.name), job.pe_buffer.key)
                    moves.append(Move(job.hbm, Span(0, job.local, group), here, "copy"))
                if part.lo > job.local:  # hits of the DE side, and what earlier chunks computed
                    assert job.buffer is not None
                    moves.append(Move(job.hbm, Span(job.local, part.lo, group), job.buffer, "kv"))
        return self._world.read(hbm_end(self.name), moves) if moves else None

    async def _compute(self) -> None:
        while True:
            stage = await self._stages.get()
            start_s = await self._loaded(stage)
            self._verify(stage)
            if self._lockstep is None:
                pairs = [(part.cached, part.bsz) for part in stage.parts]
                layer_s = self._timing.truth.prefill_layer_s(pairs)
                self._free_s = start_s + self._layers_per_group * layer_s
                await self._world.clock.sleep_until(self._free_s)
            else:
                await self._compute_in_step(self._lockstep, stage, start_s)
            self._produce(stage)
            if stage.group == self._groups - 1:
                self._end_batch(stage.parts)
            if self._system.layerwise:
                self._slots.release()

    async def _loaded(self, stage: _Stage) -> float:
        """Wait for the stage's KV; returns when it can compute, without wake-up lateness
        where the KV was early enough."""
        start_s = max(self._free_s, stage.not_before_s)
        if stage.load is not None and not stage.load.done():
            await stage.load
            start_s = max(start_s, self._world.clock.now())
        return start_s

    async def _compute_in_step(self, lockstep: Lockstep, stage: _Stage, start_s: float) -> None:
        """The stage's layers as one: attention and what else is each GPU's own, the barrier,
        then the experts for all tokens of the group, evenly spread."""
        truth, layers = self._timing.truth, self._layers_per_group
        last = stage.group == self._groups - 1
        if stage.group == 0:
            self._formed -= 1
            if await lockstep.begin():
                start_s = max(start_s, self._world.clock.now())
        pairs = [(part.cached, part.bsz) for part in stage.parts]
        tokens = sum(part.bsz for part in stage.parts)
        own_s = layers * truth.own_layer_s(pairs)
        await self._world.clock.sleep_until(start_s + own_s)
        if self._plan.collectives:
            await self._exchange.run(tokens, layers)
        total = await lockstep.arrive(
            tokens,
            truth.attention_s(pairs) if stage.group == 0 else 0.0,
            boundary=last and not self._plan.collectives,
            stays=self._has_more,
        )
        share = total / self._group_engines
        self._free_s = self._world.clock.now() + layers * truth.expert_layer_s(share)
        await self._world.clock.sleep_until(self._free_s)
        if self._plan.collectives:
            sharded = self._plan.collectives == "tensor"
            await self._exchange.run(tokens if sharded else share, layers)
            await lockstep.arrive(tokens, boundary=last, stays=self._has_more)
            self._free_s = self._world.clock.now()

    @property
    def _has_more(self) -> bool:
        """Whether a batch follows the one that ends: formed, or to be formed at once."""
        return self._formed > 0 or bool(self._ready)

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
                self._send(part, [stage.group])
            elif stage.group == self._groups - 1:
                self._send(part, range(self._groups))

    def _send(self, part: Part, groups: Iterable[int]) -> None:
        """What the DE buffer lacks: this side's hits, once, and the new rows."""
        job = part.job
        spans = [(part.lo, part.hi)]
        if part.first and job.local:
            together = job.local == part.lo
            spans = [(0, part.hi)] if together else [(0, job.local), *spans]
        assert job.hbm is not None
        assert job.buffer is not None
        moves = [
            Move(job.hbm, Span(lo, hi, group), job.buffer, "kv")
            for group in groups
            for lo, hi in spans
            if lo < hi
        ]
        if moves:
            job.sent.append(self._world.write(hbm_end(self.name), moves))

    def _end_batch(self, parts: list[Part]) -> None:
        for part in parts:
            if part.last:
                self._world.spawn(self._finish(part.job, self._world.clock.now()))
        self._computed.set()

    async def _finish(self, job: Job, first_s: float) -> None:
        """The first token is out; once the KV has arrived, the DE takes over."""
        for arrival in job.sent:
            await arrival
        if job.hbm is not None:
            self._world.free(job.hbm)
        self._release(job)
        if not self._system.layerwise:
            self._hbm.give_back(job.request.prompt)
        assert job.prefill_start_s is not None
        read = job.read
        self._world.send(
            node_of(job.assign.de),
            PrefillDone(
                job.assign.attempt,
                job.hits,
                read.start_s if read else None,
                read.end_s if read else None,
                job.prefill_start_s,
                first_s,
            ),
        )
        self._leader.finished(job.assign.attempt)
