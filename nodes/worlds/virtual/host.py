"""What a node's programs run on in virtual time, one after another: what comes to them waits
while they pause, and is lost with them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from nodes.protocol.messages import Message
from plan.records import NodeStats


class Host:
    """What a node's programs run on, one after another.

    Attributes:
        life: of the program, from 1; alive: whether there is one; paused: it does nothing.
        powered: the machine itself is on. dropped: messages that nobody heard.
        stood_s: how long programs have paused and then gone on, in all.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self.life = 0
        self.alive = False
        self.paused = False
        self.powered = True
        self.dropped = 0
        self.stood_s = 0.0
        self._since_s = 0.0
        self.stats = NodeStats(node=node)
        self.handle: Callable[[Message], None] | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self._held: deque[tuple[int, Callable[..., object], tuple[Any, ...]]] = deque()

    @property
    def answers(self) -> bool:
        """Whether its adapters do: a paused program's go on, those of a dead one refuse."""
        return self.alive or not self.powered

    def tell(self, life: int, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        """Something comes to a program; what comes while it pauses, it hears afterwards."""
        if self.paused:
            self._held.append((life, callback, arguments))
        elif self.alive and life == self.life:
            callback(*arguments)
        else:
            self.dropped += 1

    def die(self) -> None:
        """The program ends, and what it has not heard nobody hears."""
        self.alive = self.paused = False
        self.handle = None
        self.dropped += len(self._held)
        self._held.clear()

    def pause(self, now_s: float) -> None:
        """It does nothing from now on."""
        self.paused, self._since_s = True, now_s

    def resume(self, now_s: float) -> None:
        """It goes on with all that came meanwhile, in order."""
        if self.paused:
            self.stood_s += now_s - self._since_s
        self.paused = False
        while self._held and not self.paused:
            life, callback, arguments = self._held.popleft()
            self.tell(life, callback, arguments)
