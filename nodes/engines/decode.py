"""Decode engines: steps over everything an engine has, each as long as its batch takes.

What an engine does beside its steps it does between them: the KV of a new sequence is copied to
HBM, and the writes of what its node read for a prefill engine are posted, while no step is under
way. TPOT tells so (paper Fig 10; DS 27B at 0.3 agents/s: 9.9 ms for the Oracle, which copies
nothing, 11.0 for Basic, 11.9 for DualPath; with 6 to 7 requests a second on an engine that is 15
and 26 ms of each, where a context's way over the CNIC takes 15 ms, and posting its Layer Blocks
another 15).

Where collectives are traffic, the engines of an expert-parallel group step together.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import NamedTuple, TypeVar

from nodes.engines.budget import Budget
from nodes.engines.collectives import Exchange
from nodes.engines.computing import computed
from nodes.engines.lockstep import Lockstep
from nodes.engines.memory import Memory
from nodes.protocol.messages import Assign
from nodes.protocol.world import World
from nodes.storage.dram_pool import Entry
from nodes.timing.timing import Timing
from plan.model import Plan


@dataclass(slots=True, eq=False)
class Sequence:
    """A request that decodes.

    Attributes:
        hbm: holds its KV (None without I/O).
        pooled: the pool's entry that its DE buffer became, if it did.
        finished: its last token is out; cancelled where nobody waits for that any more.
        joined, saturates: steps at which it joined, and from which on it attends no more tokens.
    """

    assign: Assign
    hbm: Memory | None
    pooled: Entry | None = None
    finished: asyncio.Future[None] = field(default_factory=asyncio.Future)
    second_s: float | None = None
    joined: int = 0
    saturates: int = 0


_T = TypeVar("_T")


class _Turn(NamedTuple):
    """Of one who does something between steps: resolved when it begins, and when it is over."""

    begun: asyncio.Future[None]
    over: asyncio.Future[None]


class DecodeEngine:
    """One GPU of a decode node.

    What happens at a step is kept in a calendar by step number, so a step costs the same
    whatever the batch's size, and steps at which nothing happens are waited for together.
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
        self._calendar: defaultdict[int, list[tuple[Sequence, Callable[[], None]]]] = defaultdict(
            list
        )
        self._happening: list[int] = []
        self._asked: deque[_Turn] = deque()
        self._wait: asyncio.Future[None] | None = None
        self._changed = False
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

    def regroup(self, group: tuple[str, ...], number: int) -> None:
        """These nodes are the expert-parallel group from now on."""
        self._exchange.regroup(group)
        if self._lockstep is not None:
            self._lockstep.regroup(group[0], number)

    async def decode(self, sequence: Sequence) -> None:
        """Decode from the next step on, to the last token; if that is cancelled, the sequence
        leaves the batch."""
        self._joining.append(sequence)
        self._joined.set()
        self._interrupt()
        try:
            await sequence.finished
        finally:
            if sequence in self._joining:
                self._joining.remove(sequence)
            elif sequence.finished.cancelled():
                self._remove(sequence)
                self._interrupt()

    async def between_steps(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do something while no step is under way, once the present one is over; FIFO."""
        turn = _Turn(asyncio.Future(), asyncio.Future())
        self._asked.append(turn)
        self._joined.set()
        self._interrupt()
        try:
            await turn.begun
            return await work()
        finally:
            if not turn.over.done():  # it is where the engine was cancelled meanwhile
                turn.over.set_result(None)

    def _interrupt(self) -> None:
        """The batch is not what it was when the steps that are waited for began."""
        self._changed = True
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)

    def start(self) -> None:
        self._world.spawn(self.run())

    async def run(self) -> None:
        """Step while there is a batch; never ends."""
        clock = self._world.clock
        deadline = 0.0
        while True:
            if self._asked:
                await self._stand()
                deadline = clock.now()
            if not self._batch and not self._joining:
                if self._asked:
                    continue
                if self._lockstep is not None and self._lockstep.inside:
                    await self._lockstep.arrive(0, boundary=True, stays=False)
                    continue
                self._joined.clear()
                await self._joined.wait()
                deadline = clock.now()
                continue
            if self._lockstep is not None and not self._lockstep.inside:
                self._lockstep.join()
                await self._lockstep.begin()
                deadline = clock.now()
            for sequence in self._joining:
                self._add(sequence)
            self._joining.clear()
            deadline = await self._next(deadline)

    async def _stand(self) -> None:
        """Let those who have asked so far have their turns; who comes meanwhile, after a step."""
        for _ in range(len(self._asked)):
            turn = self._asked.popleft()
            if not turn.over.done():
                turn.begun.set_result(None)
                await turn.over

    async def _next(self, start_s: float) -> float:
        """The next step or steps; returns when they were due to end, model seconds."""
        if self._lockstep is None:
            return await self._steps(start_s)
        clock = self._world.clock
        step_s = self._step_s(self._context, self._attended)
        await computed(clock, start_s + step_s, clock.stood_s)
        # both collectives of all layers: at this size a layer's own are lost in the step's
        # other costs
        await self._exchange.run(self._batch, 2 * self._plan.model.layers)
        await self._lockstep.arrive(self._batch, boundary=True)
        self._passed(1)
        return clock.now()

    async def _steps(self, start_s: float) -> float:
        """Decode until something happens, or the batch changes: one wait for all steps.

        Returns when the last step was due to end, model seconds.
        """
        clock, ends_s = self._world.clock, self._ends_s(start_s)
        steps = 1 if self._asked else len(ends_s)  # somebody came while others had their turn
        before_s = clock.stood_s
        wait = clock.sleep_until(ends_s[steps - 1])
        self._wait, self._changed = wait if steps > 1 else None, False
        await wait
        end_s, stood_s = ends_s[steps - 1], clock.stood_s - before_s
        if stood_s or (self._changed and steps > 1):
            # whoever joins or leaves does so at the end of the step in which they came
            steps = min(steps, bisect_left(ends_s, clock.now() - stood_s) + 1)
            end_s = await computed(clock, ends_s[steps - 1] + stood_s, before_s + stood_s)
        self._passed(steps)
        return end_s

    def _ends_s(self, start_s: float) -> list[float]:
        """When each step ends, from the present one to the next in which something happens."""
        context, attended = self._context, self._attended
        ends_s = []
        for _ in range(self._next_happening() - self._step):
            start_s += self._step_s(context, attended)
            ends_s.append(start_s)
            context += self._batch
            attended += self._growing
        return ends_s

    def _step_s(self, context: int, attended: int) -> float:
        return self._truth.decode_step_s(self._batch, context, attended)

    def _next_happening(self) -> int:
        while self._happening and self._happening[0] <= self._step:
            heappop(self._happening)
        # nothing is left of a sequence that was cancelled at its end and has yet to leave
        return self._happening[0] if self._happening else self._step + 1

    def _passed(self, steps: int) -> None:
        """So many steps are over; nothing happens but in the last."""
        self._step += steps
        self._context += steps * self._batch
        self._attended += steps * self._growing
        for sequence, happen in self._calendar.pop(self._step, ()):
            if not sequence.finished.cancelled():
                happen()

    def _schedule(self, steps: int, sequence: Sequence, happen: Callable[[], None]) -> None:
        """Have something happen to a sequence at the end of a step, counted from now."""
        step = self._step + steps
        if step not in self._calendar:
            heappush(self._happening, step)
        self._calendar[step].append((sequence, happen))

    def _add(self, sequence: Sequence) -> None:
        """The prefill made the first token, so `gen - 1` steps make the others."""
        request = sequence.assign.request
        steps = request.gen - 1
        self._batch += 1
        self._context += request.prompt
        self._attended += self._truth.attended(request.prompt)
        growing = max(0, min(self._truth.attended(request.total) - request.prompt, steps))
        sequence.joined, sequence.saturates = self._step, self._step + growing
        if growing:
            self._growing += 1
            self._schedule(growing, sequence, self._saturated)
        self._schedule(1, sequence, partial(self._second, sequence))
        if sequence.hbm is not None:
            tokens = self._plan.layout.tokens
            for end in range((request.prompt // tokens + 1) * tokens, request.total, tokens):
                written = partial(self._persist, sequence, end // tokens - 1)
                self._schedule(end - request.prompt, sequence, written)
        self._schedule(steps, sequence, partial(self._leave, sequence))

    def _saturated(self) -> None:
        self._growing -= 1

    def _second(self, sequence: Sequence) -> None:
        sequence.second_s = self._world.clock.now()

    def _leave(self, sequence: Sequence) -> None:
        self._remove(sequence)
        sequence.finished.set_result(None)

    def _remove(self, sequence: Sequence) -> None:
        """Out of the batch, whose sums no longer count it."""
        context = sequence.assign.request.prompt + self._step - sequence.joined
        self._batch -= 1
        self._context -= context
        self._attended -= self._truth.attended(context)
        if self._step < sequence.saturates:
            self._growing -= 1
