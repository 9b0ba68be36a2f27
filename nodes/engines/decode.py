"""Decode engines: steps over everything an engine has, each as long as its batch takes.

Where collectives are traffic, the engines of an expert-parallel group step together.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nodes.engines.budget import Budget
from nodes.engines.collectives import Exchange
from nodes.engines.lockstep import Lockstep
from nodes.protocol.messages import Assign
from nodes.protocol.world import Region, World
from nodes.timing.timing import Timing
from plan.model import Plan


@dataclass(slots=True, eq=False)
class Sequence:
    """A request that decodes. `hbm` holds its KV (None without I/O)."""

    assign: Assign
    hbm: Region | None
    finished: asyncio.Future[None]
    second_s: float | None = None


class DecodeEngine:
    """One GPU of a decode node.

    What happens at a step is kept in a calendar by step number, so a step costs the same
    whatever the batch's size.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        timing: Timing,
        name: str,
        persist: Callable[[Sequence, int], None],
    ) -> None:
        self.name = name
        self.hbm = Budget(f"HBM of {name} (tokens)", timing.kv_capacity)
        self._world = world
        self._plan = plan
        self._truth = timing.truth
        self._persist = persist
        self._joining: list[Sequence] = []
        self._joined = asyncio.Event()
        self._calendar: defaultdict[int, list[Callable[[], None]]] = defaultdict(list)
        self._step = 0
        self._batch = 0
        self._context = 0
        self._attended = 0
        self._growing = 0
        group = plan.group_of(world.node)
        self._exchange = Exchange(world, plan, name, group)
        self._lockstep: Lockstep | None = None
        together = plan.ep_group["decode"] > 1 or plan.collectives == "tensor"
        if plan.collectives and together and len(group) > 1:
            self._lockstep = Lockstep(world, name, group[0])

    def go(self, tokens: int) -> None:
        """The expert-parallel group goes on."""
        assert self._lockstep is not None
        self._lockstep.go(tokens)

    def join(self, sequence: Sequence) -> None:
        """Decode from the next step on."""
        self._joining.append(sequence)
        self._joined.set()

    def start(self) -> None:
        self._world.spawn(self.run())

    async def run(self) -> None:
        """Step while there is a batch; never ends."""
        clock = self._world.clock
        deadline = 0.0
        while True:
            if not self._batch and not self._joining:
                if self._lockstep is not None and self._lockstep.inside:
                    await self._lockstep.arrive(0, boundary=True, stays=False)
                    continue
                self._joined.clear()
                await self._joined.wait()
                deadline = clock.now()
            if self._lockstep is not None and not self._lockstep.inside:
                self._lockstep.join()
                await self._lockstep.begin()
                deadline = clock.now()
            for sequence in self._joining:
                self._add(sequence)
            self._joining.clear()
            deadline += self._truth.decode_step_s(self._batch, self._context, self._attended)
            await clock.sleep_until(deadline)
            if self._lockstep is not None:
                # both collectives of all layers: at this size a layer's own are lost in the
                # step's other costs
                await self._exchange.run(self._batch, 2 * self._plan.model.layers)
                await self._lockstep.arrive(self._batch, boundary=True)
                deadline = clock.now()
            self._step += 1
            self._context += self._batch
            self._attended += self._growing
            for happen in self._calendar.pop(self._step, ()):
                happen()

    def _add(self, sequence: Sequence) -> None:
        """The prefill made the first token, so `gen - 1` steps make the others."""
        request = sequence.assign.request
        steps = request.gen - 1
        self._batch += 1
        self._context += request.prompt
        self._attended += self._truth.attended(request.prompt)
        growing = max(0, min(self._truth.attended(request.total) - request.prompt, steps))
        if growing:
            self._growing += 1
            self._calendar[self._step + growing].append(self._saturated)
        self._calendar[self._step + 1].append(lambda: self._second(sequence))
        if sequence.hbm is not None:
            tokens = self._plan.layout.tokens
            for end in range((request.prompt // tokens + 1) * tokens, request.total, tokens):
                self._calendar[self._step + end - request.prompt].append(
                    partial(self._persist, sequence, end // tokens - 1)
                )
        self._calendar[self._step + steps].append(lambda: self._leave(sequence))

    def _saturated(self) -> None:
        self._growing -= 1

    def _second(self, sequence: Sequence) -> None:
        sequence.second_s = self._world.clock.now()

    def _leave(self, sequence: Sequence) -> None:
        request = sequence.assign.request
        context = request.total - 1
        self._batch -= 1
        self._context -= context
        self._attended -= self._truth.attended(context)
        sequence.finished.set_result(None)
