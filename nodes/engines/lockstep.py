"""The barrier of an expert-parallel group: its engines go through layers in lockstep.

Data-parallel attention ends in a barrier before the FFN (paper section 4), so every GPU of
the group waits for the slowest. The group's leader node keeps the beat: an engine with a
batch joins at the next boundary between forwards; in a forward all participants arrive at
every round, and when the last has, the leader lets all go on. Engines without work take no
part.
"""

from __future__ import annotations

import asyncio

from nodes.engines.course import Course
from nodes.protocol.messages import Arrive, Go, Join
from nodes.protocol.world import World
from plan.names import node_of
from plan.records import ForwardRecord

_APART_S = 1e-6
"""Forwards are kept one by one as long as there are not too many."""


def first_number(world: World) -> int:
    """Of a group, before anybody has said who is in it: a later life is in none yet."""
    return 0 if world.life == 1 else -1


class Beat:
    """The leader's side.

    Args:
        world: of the group's first node.
        idle_s: how long the first engine with a batch waits for others while none computes,
            model seconds.
    """

    def __init__(self, world: World, idle_s: float) -> None:
        self._world = world
        self._idle_s = idle_s
        self._opening = False
        self._forwards = Course(world.stats.forwards, _APART_S, together)
        self._waiting: dict[str, None] = {}
        self._inside: dict[str, None] = {}
        self._arrived: dict[str, Arrive] = {}
        self._number = first_number(world)
        self._early: list[Join | Arrive] = []

    def regroup(self, number: int) -> None:
        """Members of the group died or came; all meet anew, and what was said before is void.

        Args:
            number: of the group from now on; the higher, the later.
        """
        self._waiting, self._inside, self._arrived = {}, {}, {}
        self._number = number
        early, self._early = self._early, []
        for message in early:
            if isinstance(message, Join):
                self.join(message)
            else:
                self.arrive(message)

    def _void(self, message: Join | Arrive) -> bool:
        """Whether it was said in another group; what is said in the next one is kept for it."""
        if message.number > self._number:
            self._early.append(message)
        return message.number != self._number

    def join(self, message: Join) -> None:
        """An engine wants to take part from the next boundary on."""
        if self._void(message):
            return
        self._waiting[message.engine] = None
        if self._inside or self._opening:
            return
        if self._idle_s:
            self._opening = True
            self._world.spawn(self._open())
        else:
            self._begin(0)

    async def _open(self) -> None:
        """The first forward after a time without any: for all who join within `idle_s`."""
        clock = self._world.clock
        await clock.sleep_until(clock.now() + self._idle_s)
        self._opening = False
        self._begin(0)

    def arrive(self, message: Arrive) -> None:
        """An engine has come to the end of a round."""
        if self._void(message):
            return
        self._arrived[message.engine] = message
        if len(self._arrived) < len(self._inside):
            return
        arrived, self._arrived = list(self._arrived.values()), {}
        tokens = sum(arrival.tokens for arrival in arrived)
        if arrived[0].attention_s:
            self._log(arrived)
        if not message.boundary:
            self._go(tokens)
            return
        leaving = [arrival.engine for arrival in arrived if not arrival.stays]
        for engine in leaving:
            del self._inside[engine]
        self._begin(tokens, leaving)

    def _begin(self, tokens: int, leaving: list[str] | None = None) -> None:
        """Open the next forward to those who stayed and those who waited.

        An engine that left and has joined again is told twice: once for either.
        """
        self._inside.update(self._waiting)
        self._waiting.clear()
        self._go(tokens, leaving or [])

    def _go(self, tokens: int, also: list[str] | None = None) -> None:
        engines = [*self._inside, *(also or [])]
        for node in dict.fromkeys(node_of(engine) for engine in engines):
            named = tuple(engine for engine in engines if node_of(engine) == node)
            self._world.send(node, Go(named, tokens, self._number))

    def _log(self, arrived: list[Arrive]) -> None:
        times = [arrival.attention_s for arrival in arrived]
        forward = ForwardRecord(
            t_s=self._world.clock.now(),
            engines=len(times),
            tokens=sum(arrival.tokens for arrival in arrived),
            attention_max_s=max(times),
            attention_mean_s=sum(times) / len(times),
        )
        self._forwards.note(forward.t_s, forward)


def together(first: ForwardRecord, then: ForwardRecord) -> ForwardRecord:
    """Forwards as one record of them all."""
    tokens = first.tokens + then.tokens

    def mean(a: float, b: float) -> float:
        return (first.tokens * a + then.tokens * b) / tokens

    return ForwardRecord(
        t_s=first.t_s,
        engines=first.engines + then.engines,
        tokens=tokens,
        attention_max_s=mean(first.attention_max_s, then.attention_max_s),
        attention_mean_s=mean(first.attention_mean_s, then.attention_mean_s),
        passes=first.passes + then.passes,
    )


class Lockstep:
    """One engine's side.

    Args:
        leader: the group's first node, where its `Beat` is.

    Attributes:
        inside: whether the engine takes part in the current forward.
    """

    def __init__(self, world: World, engine: str, leader: str) -> None:
        self._world = world
        self._engine = engine
        self._leader = leader
        self.inside = False
        self._start: asyncio.Future[int] | None = None
        self._round: asyncio.Future[int] | None = None
        self._number = first_number(world)
        self._alone = False
        self._said = 0, False  # tokens of the round that is waited for; whether it ends a forward

    def regroup(self, leader: str, number: int) -> None:
        """Members of the group died or came: the forward that is under way this engine finishes
        alone, and joins the others for the next."""
        self._leader, self._number = leader, number
        if self._start is not None:
            if self._start.done():
                self._start = asyncio.Future()
            self._world.send(leader, Join(self._engine, number))
        tokens, boundary = self._said
        waiting, self._round = self._round, None
        self._alone = self.inside and not (waiting is not None and boundary)
        if waiting is not None:
            if boundary:
                self.inside = False
            waiting.set_result(tokens)

    def join(self) -> None:
        """There is a batch: take part from the next boundary on. Idempotent."""
        if self._start is None and not self.inside:
            self._start = asyncio.Future()
            self._world.send(self._leader, Join(self._engine, self._number))

    async def begin(self) -> bool:
        """Wait for the forward that this engine joined or stayed for; False if it stayed,
        and so need not wait."""
        if self.inside:
            return False
        while not self.inside:
            self.join()
            start = self._start
            assert start is not None
            await start
            if start is self._start:  # else the group is another one meanwhile
                self._start, self.inside = None, True
        return True

    async def arrive(
        self, tokens: int, attention_s: float = 0.0, *, boundary: bool = False, stays: bool = True
    ) -> int:
        """Wait for all participants; returns the tokens of all of them.

        Args:
            attention_s: attention time of this engine's batch, said once per forward.
            boundary: the forward ends with this round.
            stays: at a boundary, whether a next batch is there.
        """
        if self._alone:
            if boundary:
                self._alone = self.inside = False
            return tokens
        came_s = self._world.clock.now()
        self._round = asyncio.Future()
        self._said = tokens, boundary
        arrive = Arrive(self._engine, tokens, attention_s, boundary, stays, self._number)
        self._world.send(self._leader, arrive)
        if boundary:
            self.inside = stays
        total = await self._round
        self._world.stats.bubble_s += self._world.clock.now() - came_s
        return total

    def go(self, tokens: int) -> None:
        """The leader said go: to the round that is waited for, else to the start."""
        waiting, self._round = self._round or self._start, None
        assert waiting is not None
        waiting.set_result(tokens)
