"""What a prefill and a decode node have in common: engines, a place in a group, storage."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from nodes.engines.arrivals import Arrivals
from nodes.engines.budget import Budget
from nodes.engines.course import Course
from nodes.engines.lockstep import Beat, first_number
from nodes.engines.memory import Memory
from nodes.protocol.blocks import pieces
from nodes.protocol.messages import (
    SCHEDULER_LIFE,
    Arrive,
    Assign,
    Attempt,
    BlocksRead,
    BlocksStored,
    Cancel,
    Failed,
    Fence,
    Go,
    Held,
    Join,
    Members,
    Message,
    NotDone,
    Recount,
    Report,
    Request,
)
from nodes.protocol.signs import give_signs
from nodes.protocol.world import Region, World
from nodes.scheduling.leader import Leader
from nodes.storage.client import StorageClient
from plan.errors import Broken
from plan.fabric import Node
from plan.model import Plan


class Reading(NamedTuple):
    """Up to which block a read brought hits, when it began and ended, and how long this side
    waited for its DRAM buffer before (model seconds)."""

    upto: int
    start_s: float
    end_s: float
    buffer_wait_s: float


def later(_: tuple[float, float], level: tuple[float, float]) -> tuple[float, float]:
    """Of two levels the one that lasts."""
    return level


class Stepping(Protocol):
    """An engine that an expert-parallel group may let go on."""

    def start(self) -> None: ...

    def go(self, tokens: int) -> None: ...

    def regroup(self, group: tuple[str, ...], number: int) -> None: ...


_Engine = TypeVar("_Engine", bound=Stepping)


class EngineNode(ABC, Generic[_Engine]):
    """One engine per GPU, one SNIC with its read queue, a leader and a barrier.

    Args:
        make_engine: engine by name.
        idle_s: as `Beat` has it.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        node: Node,
        make_engine: Callable[[str], _Engine],
        idle_s: float = 0.0,
    ) -> None:
        self._world = world
        self._plan = plan
        self._storage = StorageClient(world, plan, lambda: self._leader.changed())
        self._leader = Leader(world, plan, lambda: self._storage.reported_tokens)
        self._beat = Beat(world, idle_s)
        self._engines = {name: make_engine(name) for name in node.engines}
        self._levels = Course(world.stats.buffer, plan.constants.fetch_interval_s, later)
        self._recovery = plan.recovery
        self._scheduler = plan.fabric.nodes_of("scheduler")[0].name
        self._group = plan.group_of(node.name)
        self._number = first_number(world)
        self._lives = dict.fromkeys(self._group, 1)
        self._members = Members(self._number, {})
        self._serving: dict[Attempt, tuple[Assign, asyncio.Task[None]]] = {}
        self._failed: set[Attempt] = set()

    def start(self) -> None:
        if self._recovery is not None:
            # first: of a node that is not known to live nothing else is heard
            every_s = self._recovery.heartbeat_s
            self._world.spawn(give_signs(self._world, self._scheduler, every_s))
        for engine in self._engines.values():
            engine.start()
        self._world.spawn(self._leader.run())

    def handle(self, message: Message) -> None:
        match message:
            case BlocksRead() | BlocksStored() | NotDone():
                self._storage.handle(message)
            case Assign():
                self._leader.changed()
                self._begin(message)
            case Join():
                self._beat.join(message)
            case Arrive():
                self._beat.arrive(message)
            case Go() if message.number == self._number:
                for engine in message.engines:
                    self._engines[engine].go(message.tokens)
            case Go():
                pass  # of a group that is no more
            case Report():
                self._leader.heard(message)
            case Cancel():
                self._cancel(message.attempt)
            case Members():
                self._regroup(message)
            case Fence():
                if message.life == self._world.life:
                    self._world.restart("it was taken for dead")
            case Recount():
                self._world.send(message.scheduler, self._all_held())
            case _:
                self._handle_own(message)

    def _begin(self, assign: Assign) -> None:
        if self._recovery is None:
            self._world.spawn(self._serve(assign))
        else:
            task = self._world.spawn(self._attempted(assign))
            self._serving[assign.attempt] = assign, task
            # one that is cancelled before it has begun never runs
            task.add_done_callback(lambda _: self._serving.pop(assign.attempt, None))

    async def _attempted(self, assign: Assign) -> None:
        """Serve a request; where that comes to nothing, the scheduler hears why."""
        attempt = assign.attempt
        try:
            await self._serve(assign)
        except asyncio.CancelledError:
            self._forget(attempt)
            raise
        except Broken as error:
            self._forget(attempt)
            failed = Failed(attempt, self._world.node, str(error), error.read)
            self._world.send(self._scheduler, failed)
        finally:
            # at once, so that who has ended is not said to be served
            self._serving.pop(attempt, None)

    def _cancel(self, attempt: Attempt) -> None:
        """Nobody waits for it any more; what still comes for it is late."""
        self._forget(attempt)
        if serving := self._serving.get(attempt):
            serving[1].cancel()

    def _forget(self, attempt: Attempt) -> None:
        self._failed.add(attempt)
        for arrivals in self._awaited():
            arrivals.forget(attempt)

    def _all_held(self) -> Held:
        """What a scheduler that has begun anew has to know."""
        return Held(
            self._world.node,
            self._world.life,
            self._members,
            tuple(assign for assign, _ in self._serving.values()),
            tuple(attempt for attempt in self._serving if self._whole(attempt)),
            tuple(self._failed),
            self._leader.all_of_it(),
        )

    def _late(self, attempt: Attempt) -> bool:
        """Whether a message is about an attempt that came to nothing here; counted."""
        late = attempt in self._failed
        if late:
            self._world.stats.late_messages += 1
        return late

    def _regroup(self, members: Members) -> None:
        """Who is there has changed: of a group that has, all meet again."""
        self._members = members
        self._world.living(members.lives)
        self._storage.members(members.lives)
        lives = {node: members.lives[node] for node in self._group}
        # what an earlier scheduler said to some may not have come to others
        same = members.number // SCHEDULER_LIFE == self._number // SCHEDULER_LIFE
        if lives == self._lives and same:
            return
        self._lives, self._number = lives, members.number
        group = tuple(node for node in self._group if lives[node])
        self._beat.regroup(members.number)
        for engine in self._engines.values():
            engine.regroup(group, members.number)

    def _buffer(self, name: str) -> Budget:
        """The node's DRAM for buffers, bytes; how full it is goes to the node's statistics."""
        return Budget(name, self._plan.dram_buffer_bytes, self._leased)

    def _leased(self, leased_bytes: float) -> None:
        now_s = self._world.clock.now()
        self._levels.note(now_s, (now_s, leased_bytes))

    async def _read(
        self, request: Request, lo: int, hi: int, buffer: Memory, buffer_wait_s: float
    ) -> Reading:
        """Bring rows `lo .. hi`, as far as storage has them, into a buffer; none is no read.

        With recovery, what came is looked at: it is used up to the first block that is bad.
        """
        start_s, upto = self._world.clock.now(), lo
        if lo < hi:
            arrival = self._storage.read(request, lo, hi, buffer.region)
            buffer.use(arrival)
            await buffer.settled()
            upto = min(arrival.result(), hi)
            if self._recovery is not None:
                upto = self._good(request, lo, upto, buffer.region)
        return Reading(upto, start_s, self._world.clock.now(), buffer_wait_s)

    def _good(self, request: Request, lo: int, upto: int, region: Region) -> int:
        """Up to which row the blocks of a read are what they should be."""
        if lo >= upto:
            return upto
        if region.corrupt(pieces(request.agent, request.runs, lo, upto), None):
            for row in range(lo, upto):
                bad = region.corrupt(pieces(request.agent, request.runs, row, row + 1), None)
                if bad:
                    self._world.stats.blocks_refused += upto - row
                    return row
        return upto

    def _whole(self, _attempt: Attempt) -> bool:
        """Whether it has all of an attempt's prompt, so that the prefill node's part is over."""
        return False

    @property
    def kept(self) -> int:
        """Regions that outlive requests."""
        return 0

    def held(self) -> dict[str, float]:
        """What of the node's budgets is not free, and what waits."""
        found = {budget.name: budget.capacity - budget.free for budget in self._budgets()}
        found[f"disk read queue of {self._world.node} (tokens)"] = self._storage.queued_tokens
        found[f"requests in {self._world.node}"] = len(self._serving)
        return found

    @abstractmethod
    def _budgets(self) -> list[Budget]:
        """All that requests take something of."""

    @abstractmethod
    def _awaited(self) -> Iterable[Arrivals[Any]]:
        """What messages bring for attempts."""

    @abstractmethod
    async def _serve(self, assign: Assign) -> None:
        """A request's whole way through the node."""

    @abstractmethod
    def _handle_own(self, message: Message) -> None:
        """What only this kind of node is sent.

        Raises:
            TypeError: this kind is never sent it.
        """
