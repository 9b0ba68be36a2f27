"""Prefill engines: hits in, layer by layer, computed KV out (paper section 1).

With layerwise prefill, for every Layer Block group: load the hits into HBM (from the own PE
buffer what was read on this side, from the DE buffer what was read there), compute the layers
for the missed tokens, write to the DE buffer what it lacks (hits read on this side, and the
misses). Group i + 1 loads while group i computes.

Without it no transfer overlaps with computing: a batch is what HBM can take, all of its hits are
copied there while its engine, and with it the expert-parallel group, waits; then it is computed;
what it made is sent afterwards, and HBM is free again when it has arrived. What is freed bit by bit
is filled as one batch, and so is what comes to an idle group, which looks for requests together and
once a fetch interval (section 4). Reads from storage into the PE buffer go on meanwhile. The paper
does not describe its Basic so closely; but with many agents its JCT grows as long for each more as
with layerwise prefill (DS 660B at 64K, Fig 12: 4.6 and 4.4 s), which hides transfers, and would
hide reads, too, if Basic did not.

Nor does anything hide what the host has to do for a transfer then: it submits Layer Blocks one by
one, copies to HBM to the GPU's driver (5 to 7 us each: copies by the CNIC are DualPath's), writes
to the DE buffer to the CNIC (1 us; both section 3). With layerwise prefill that goes on while
layers are computed, and a context's Layer Blocks of one layer take the host less time than a layer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress

from nodes.engines.batches import Batches, Job, Part
from nodes.engines.budget import Budget, Lease
from nodes.engines.collectives import Exchange
from nodes.engines.computing import computed
from nodes.engines.lockstep import Lockstep
from nodes.engines.memory import Memory
from nodes.protocol.blocks import pieces
from nodes.protocol.messages import Remote
from nodes.protocol.world import Move, Span, World
from nodes.scheduling.registry import forward_batches
from nodes.timing.timing import Timing
from plan.deployment import System
from plan.errors import Broken
from plan.model import Plan
from plan.names import dram_end, hbm_end

GROUPS_AHEAD = 2
"""Layer Block groups in HBM at once: the one that computes and the next one, loading."""


_Load = tuple[list[Part], asyncio.Future[None]]
"""Parts of a batch whose KV comes as one posting."""


class _Stage:
    """One Layer Block group of one forward batch, its loads under way.

    Attributes:
        slot: its room in HBM (None: the whole batch has that).
    """

    __slots__ = ("group", "loads", "not_before_s", "parts", "slot")

    def __init__(
        self,
        parts: list[Part],
        group: int,
        loads: list[_Load],
        not_before_s: float,
        slot: Lease | None,
    ) -> None:
        self.parts = parts
        self.group = group
        self.loads = loads
        self.not_before_s = not_before_s
        self.slot = slot


class PrefillEngine:
    """One GPU of a prefill node: one task loads what another computes."""

    def __init__(self, world: World, plan: Plan, system: System, timing: Timing, name: str) -> None:
        self._world = world
        self._plan = plan
        self._layerwise = system.layerwise
        self._timing = timing
        self._end = hbm_end(name)
        self._dram_end = dram_end(name)
        self._groups = range(plan.layout.groups)
        self._layers_per_group = plan.model.layers / plan.layout.groups
        self.hbm = Budget(f"HBM of {name} (tokens)", timing.kv_capacity)
        predict = timing.predictor.attention_s
        pack = forward_batches(system, plan.constants, predict, plan.plugins)
        self._batches = Batches(pack, plan.layout.tokens)
        ahead = GROUPS_AHEAD if system.io else 1
        self._slots = Budget(f"Layer Block groups in HBM of {name}", ahead)
        self._stages: asyncio.Queue[_Stage] = asyncio.Queue()
        self._computed = asyncio.Event()
        self._free_s = 0.0
        self._host_free_s = 0.0
        self._formed = 0
        group = plan.group_of(world.node)
        self._gpus = {node.name: node.gpus for node in plan.fabric.nodes}
        self._group_engines = sum(self._gpus[node] for node in group)
        self._exchange = Exchange(world, plan, name, group)
        self._lockstep = None
        together = plan.ep_group["prefill"] > 1 or plan.collectives == "tensor"
        if together and self._group_engines > 1:
            self._lockstep = Lockstep(world, name, group[0])

    def start(self) -> None:
        self._world.spawn(self._load())
        self._world.spawn(self._compute())

    def go(self, tokens: int) -> None:
        """The expert-parallel group goes on."""
        assert self._lockstep is not None
        self._lockstep.go(tokens)

    def regroup(self, group: tuple[str, ...], number: int) -> None:
        """These nodes are the expert-parallel group from now on; the experts are theirs."""
        self._group_engines = sum(self._gpus[node] for node in group)
        self._exchange.regroup(group)
        if self._lockstep is not None:
            self._lockstep.regroup(group[0], number)

    async def prefill(self, job: Job) -> float:
        """Compute a request whose hits are in a buffer; returns when its first token was out
        (model seconds), once all of its KV is in the DE buffer."""
        self._batches.add(job)
        try:
            job.here.set_result(None)
            self._batches.admit(job)
            first_s = await job.first
            if job.hbm is not None:
                await job.hbm.settled()
        except (asyncio.CancelledError, Broken):
            self._batches.drop(job)
            raise
        return first_s

    async def prefill_whole(
        self,
        job: Job,
        bring: Callable[[], Awaitable[None]],
        buffer: Callable[[], Awaitable[None]],
    ) -> float:
        """The same without layerwise prefill: all of the request's KV sits in HBM meanwhile.

        Args:
            bring: copies its hits to HBM; called when its batch has begun.
            buffer: has a DE buffer for it, if it has none; called when its first token is out.
        """
        self._batches.add(job)
        job.gone = asyncio.Future()
        try:
            with await self.hbm.lease(job.request.prompt):
                self._batches.admit(job)
                await job.called
                await bring()
                job.here.set_result(None)
                first_s = await job.first
                await buffer()
                if job.hbm is not None:
                    self._write(job, job.lacking, self._groups)
                    await self._moved(job.hbm, job.rows * self._plan.submit_s)
        except (asyncio.CancelledError, Broken):
            self._batches.drop(job)
            raise
        finally:
            job.gone.set_result(None)
        return first_s

    async def load(self, job: Job) -> None:
        """All hits at once, from the buffers where they are."""
        assert job.hbm is not None
        job.prefill_start_s = self._world.clock.now()
        moves = [move for group in self._groups for move in self._load_of(job, job.hits, group)]
        if moves:
            self._using(job, self._world.read(self._end, moves))
            await self._moved(job.hbm, job.hits * self._plan.copy_s)

    async def _moved(self, hbm: Memory, layer_s: float) -> None:
        """Until a request's transfers are over, and the host has submitted their Layer Blocks one
        by one, `layer_s` for those of a layer, behind what it had to submit before."""
        clock = self._world.clock
        begins_s = max(self._host_free_s, clock.now())
        self._host_free_s = ends_s = begins_s + self._plan.model.layers * layer_s
        await hbm.settled()
        if ends_s > clock.now():  # no alarm is late that need not be set
            await clock.sleep_until(ends_s)

    async def _load(self) -> None:
        """Form batches and bring their KV in, no further ahead than HBM allows.

        What comes while a forward computes is in the next batch: that is formed when HBM can take
        its first group (all of it, without layerwise prefill) and, of an engine that is not in the
        forward, when the next one begins.
        """
        last: list[Part] = []
        while True:
            idle = not self._batches.waiting
            await self._batches.ready()
            if self._layerwise:
                slot = await self._slots.lease(1)
                await self._batches.ready()
                parts = await self._form()
                for group in self._groups:
                    if group:
                        slot = await self._slots.lease(1)
                    self._post(parts, group, self._load_group(parts, group), slot)
            else:
                await self._batches.bring(self._gathered(last, idle=idle))
                last = await self._form()
                self._computed.clear()
                for group in self._groups:
                    self._post(last, group, [])
                await self._computed.wait()

    async def _gathered(self, last: list[Part], *, idle: bool) -> None:
        """Until it is known what the next batch can hold.

        Args:
            last: parts of the batch before, which has to be out of HBM.
            idle: nothing waited when that was computed.
        """
        if leaving := [part.job.gone for part in last if part.last and part.job.gone]:
            await asyncio.wait(leaving)
        if self._lockstep is not None:
            await self._lockstep.begin()
        elif idle:
            clock = self._world.clock
            await clock.sleep_until(clock.now() + self._plan.constants.fetch_interval_s)

    async def _form(self) -> list[Part]:
        """The next batch, its expert-parallel group ready to begin it."""
        if self._lockstep is not None:
            await self._lockstep.begin()
        self._formed += 1
        parts = self._batches.form()
        for part in parts:
            if part.job.prefill_start_s is None:
                part.job.prefill_start_s = self._world.clock.now()
        return parts

    def _load_group(self, parts: list[Part], group: int) -> list[_Load]:
        """H2D, or DE buffer to PE HBM: what the batch needs of a group. Where peers may die each
        request's by itself, so that it is not taken down by what another one's peer does."""
        loading = [part for part in parts if part.moves]
        apart = self._plan.recovery is not None
        loads = []
        for together in [[part] for part in loading] if apart else [loading]:
            moves = [move for part in together for move in self._load_of(part.job, part.lo, group)]
            if moves:
                load = self._world.read(self._end, moves)
                loads.append((together, load))
                for part in together:
                    self._using(part.job, load)
        return loads

    def _load_of(self, job: Job, rows: int, group: int) -> Iterator[Move]:
        assert job.hbm is not None
        if job.local:
            assert job.pe_buffer is not None
            here = Remote(self._dram_end, job.pe_buffer.region.key)
            yield Move(job.hbm.region, Span(0, job.local, group), here, "copy")
        if rows > job.local:  # hits of the DE side, and what earlier chunks computed
            assert job.buffer is not None
            yield Move(job.hbm.region, Span(job.local, rows, group), job.buffer, "kv")

    def _using(self, job: Job, load: asyncio.Future[None]) -> None:
        for memory in (job.hbm, job.pe_buffer):
            if memory is not None:
                memory.use(load)

    def _post(
        self,
        parts: list[Part],
        group: int,
        loads: list[_Load],
        slot: Lease | None = None,
    ) -> None:
        self._stages.put_nowait(_Stage(parts, group, loads, self._world.clock.now(), slot))

    async def _compute(self) -> None:
        while True:
            stage = await self._stages.get()
            start_s = await self._loaded(stage)
            self._verify(stage)
            if self._lockstep is None:
                pairs = [(part.cached, part.bsz) for part in stage.parts]
                layer_s = self._timing.truth.prefill_layer_s(pairs)
                await self._busy_until(start_s + self._layers_per_group * layer_s)
            else:
                await self._compute_in_step(self._lockstep, stage, start_s)
            self._produce(stage)
            if stage.group == self._groups[-1]:
                self._end_batch(stage.parts)
            if stage.slot is not None:
                stage.slot.release()

    async def _loaded(self, stage: _Stage) -> float:
        """Wait for the stage's KV; returns when it can compute, without wake-up lateness
        where the KV was early enough."""
        start_s = max(self._free_s, stage.not_before_s)
        for parts, load in stage.loads:
            if not load.done():
                with suppress(Broken):
                    await load
                start_s = max(start_s, self._world.clock.now())
            error = load.exception()
            if isinstance(error, Broken):
                for part in parts:
                    part.job.fail(error)
        return start_s

    def _verify(self, stage: _Stage) -> None:
        """The hits of the group are what this request's prefix must be."""
        for part in stage.parts:
            if part.moves and part.lo:
                assert part.job.hbm is not None
                request = part.job.request
                expected = pieces(request.agent, request.runs, 0, part.lo)
                corrupt = part.job.hbm.region.corrupt(expected, stage.group)
                self._world.verified(part.lo, corrupt)
                if corrupt and self._plan.recovery is not None:
                    part.job.fail(Broken(f"{corrupt} Layer Blocks are not what they should be"))

    async def _compute_in_step(self, lockstep: Lockstep, stage: _Stage, start_s: float) -> None:
        """The stage's layers as one: attention and what else is each GPU's own, the barrier,
        then the experts for all tokens of the group, evenly spread."""
        truth, layers = self._timing.truth, self._layers_per_group
        last = stage.group == self._groups[-1]
        if stage.group == 0:
            self._formed -= 1
            if await lockstep.begin():  # the group is another one since the batch was formed
                start_s = max(start_s, self._world.clock.now())
        pairs = [(part.cached, part.bsz) for part in stage.parts]
        tokens = sum(part.bsz for part in stage.parts)
        own_s = layers * truth.own_layer_s(pairs)
        await self._busy_until(start_s + own_s)
        if self._plan.collectives:
            await self._exchange.run(tokens, layers)
        total = await lockstep.arrive(
            tokens,
            truth.attention_s(pairs) if stage.group == 0 else 0.0,
            boundary=last and not self._plan.collectives,
            stays=self._has_more(),
        )
        share = total / self._group_engines
        await self._busy_until(self._world.clock.now() + layers * truth.expert_layer_s(share))
        if self._plan.collectives:
            sharded = self._plan.collectives == "tensor"
            await self._exchange.run(tokens if sharded else share, layers)
            await lockstep.arrive(tokens, boundary=last, stays=self._has_more())
            self._free_s = self._world.clock.now()

    async def _busy_until(self, end_s: float) -> None:
        clock = self._world.clock
        self._free_s = await computed(clock, end_s, clock.stood_s)

    def _has_more(self) -> bool:
        """Whether a batch follows the one that ends: formed, or to be formed at once."""
        return self._formed > 0 or self._batches.waiting

    def _produce(self, stage: _Stage) -> None:
        """The group's KV of the new tokens exists; send it where it is due."""
        for part in stage.parts:
            if not part.moves:
                continue
            assert part.job.hbm is not None
            request = part.job.request
            made = pieces(request.agent, request.runs, part.lo, part.hi)
            part.job.hbm.region.fill(made, stage.group)
            if self._layerwise:
                self._send(part, stage.group)

    def _send(self, part: Part, group: int) -> None:
        """What the DE buffer lacks: this side's hits, once, and the new rows."""
        self._write(part.job, part.lacking, [group])

    def _write(self, job: Job, spans: Iterable[tuple[int, int]], groups: Iterable[int]) -> None:
        """Rows of some groups, from HBM to the DE buffer."""
        assert job.hbm is not None
        assert job.buffer is not None
        moves = [
            Move(job.hbm.region, Span(lo, hi, group), job.buffer, "kv")
            for group in groups
            for lo, hi in spans
            if lo < hi
        ]
        if moves:
            job.hbm.use(self._world.write(self._end, moves))

    def _end_batch(self, parts: list[Part]) -> None:
        for part in parts:
            if part.last and not part.job.first.done():
                part.job.first.set_result(self._world.clock.now())
        self._computed.set()
