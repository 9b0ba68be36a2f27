"""A capacity that holders wait for in the order in which they asked."""

from __future__ import annotations

import asyncio
from collections import deque


class Budget:
    """HBM, or a DRAM buffer: an amount that can be taken and given back.

    Args:
        name: what it is, for errors.
        capacity: amount in all; math.inf for no limit.
    """

    def __init__(self, name: str, capacity: float) -> None:
        self._name = name
        self.capacity = capacity
        self.free = capacity
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()

    async def take(self, amount: float) -> None:
        """Wait until `amount` is free and nobody who asked earlier still waits; take it.

        Raises:
            ValueError: more than the whole capacity was asked for.
        """
        if amount > self.capacity:
            raise ValueError(f"{amount:.0f} asked of {self._name}, which has {self.capacity:.0f}")
        if not self._waiting and amount <= self.free:
            self.free -= amount
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        await turn

    def give_back(self, amount: float) -> None:
        """Return what `take` took."""
        self.free += amount
        while self._waiting and self._waiting[0][0] <= self.free:
            taken, turn = self._waiting.popleft()
            self.free -= taken
            turn.set_result(None)
