"""What a prefill and a decode node have in common: engines, a place in a group, storage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from nodes.engines.budget import Budget
from nodes.engines.course import Course
from nodes.engines.lockstep import Beat
from nodes.engines.memory import Memory
from nodes.protocol.messages import (
    Arrive,
    BlocksRead,
    BlocksStored,
    Go,
    Join,
    Message,
    Report,
    Request,
)
from nodes.protocol.world import World
from nodes.scheduling.leader import Leader
from nodes.storage.client import StorageClient
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


_Engine = TypeVar("_Engine", bound=Stepping)


class EngineNode(ABC, Generic[_Engine]):
    """One engine per GPU, one SNIC with its read queue, a leader and a barrier.

    Args:
        make_engine: engine by name.
    """

    def __init__(
        self, world: World, plan: Plan, node: Node, make_engine: Callable[[str], _Engine]
    ) -> None:
        self._world = world
        self._plan = plan
        self._storage = StorageClient(world, plan, lambda: self._leader.changed())
        self._leader = Leader(world, plan, lambda: self._storage.queued_tokens)
        self._beat = Beat(world)
        self._engines = {name: make_engine(name) for name in node.engines}
        self._levels = Course(world.stats.buffer, plan.constants.fetch_interval_s, later)

    def start(self) -> None:
        for engine in self._engines.values():
            engine.start()
        self._world.spawn(self._leader.run())

    def handle(self, message: Message) -> None:
        match message:
            case BlocksRead() | BlocksStored():
                self._storage.handle(message)
            case Join():
                self._beat.join(message)
            case Arrive():
                self._beat.arrive(message)
            case Go():
                for engine in message.engines:
                    self._engines[engine].go(message.tokens)
            case Report():
                self._leader.heard(message)
            case _:
                self._handle_own(message)

    def _buffer(self, name: str) -> Budget:
        """The node's DRAM for buffers, bytes; how full it is goes to the node's statistics."""
        return Budget(name, self._plan.dram_buffer_bytes, self._leased)

    def _leased(self, leased_bytes: float) -> None:
        now_s = self._world.clock.now()
        self._levels.note(now_s, (now_s, leased_bytes))

    async def _read(
        self, request: Request, lo: int, hi: int, buffer: Memory, buffer_wait_s: float
    ) -> Reading:
        """Bring rows `lo .. hi`, as far as storage has them, into a buffer; none is no read."""
        start_s, upto = self._world.clock.now(), lo
        if lo < hi:
            arrival = self._storage.read(request, lo, hi, buffer.region)
            buffer.use(arrival)
            await buffer.settled()
            upto = min(arrival.result(), hi)
        return Reading(upto, start_s, self._world.clock.now(), buffer_wait_s)

    @abstractmethod
    def _handle_own(self, message: Message) -> None:
        """What only this kind of node is sent.

        Raises:
            TypeError: this kind is never sent it.
        """
