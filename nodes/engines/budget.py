"""A capacity that holders wait for in the order in which they asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType


class Budget:
    """HBM, or a DRAM buffer: an amount that is leased and given back.

    Args:
        name: what it is, for errors.
        capacity: amount in all; math.inf for no limit.
        noted: told what is leased whenever that changes.
    """

    def __init__(
        self, name: str, capacity: float, noted: Callable[[float], object] | None = None
    ) -> None:
        self.name = name
        self._noted = noted
        self.capacity = capacity
        self._leased = 0.0
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()

    @property
    def free(self) -> float:
        """What nobody holds."""
        return self.capacity - self._leased

    async def lease(self, amount: float) -> Lease:
        """Wait until `amount` is free and nobody who asked earlier still waits; take it.

        Raises:
            ValueError: more than the whole capacity was asked for.
        """
        if amount > self.capacity:
            raise ValueError(f"{amount:.0f} asked of {self.name}, which has {self.capacity:.0f}")
        if not self._waiting and amount <= self.free:
            self._leased += amount
            self._changed()
            return Lease(self, amount)
        turn: asyncio.Future[None] = asyncio.Future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            # who waited is out of the way, or had been given what it can no longer take
            self.give_back(0 if turn.cancelled() else amount)
            raise
        return Lease(self, amount)

    def give_back(self, amount: float) -> None:
        """What a lease held is free; whose turn it is gets it."""
        self._leased -= amount
        while self._waiting:
            asked, turn = self._waiting[0]
            if not turn.cancelled():
                if asked > self.free:
                    break
                self._leased += asked
                turn.set_result(None)
            self._waiting.popleft()
        self._changed()

    def _changed(self) -> None:
        if self._noted is not None:
            self._noted(self._leased)


class Lease:
    """An amount in one holder's hands until the end of a `with`, or until it is released."""

    def __init__(self, budget: Budget, amount: float) -> None:
        self._budget = budget
        self._amount = amount

    def release(self) -> None:
        """Give back what is still held."""
        amount, self._amount = self._amount, 0.0
        if amount:
            self._budget.give_back(amount)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
