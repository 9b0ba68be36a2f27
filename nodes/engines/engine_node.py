"""What a prefill and a decode node have in common: engines, a place in a group, storage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from nodes.engines.lockstep import Beat
from nodes.protocol.messages import Arrive, BlocksRead, BlocksStored, Go, Join, Message, Report
from nodes.protocol.world import World
from nodes.scheduling.leader import Leader
from nodes.storage.client import StorageClient
from plan.fabric import Node
from plan.model import Plan


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

    @abstractmethod
    def _handle_own(self, message: Message) -> None:
        """What only this kind of node is sent.

        Raises:
            TypeError: this kind is never sent it.
        """
