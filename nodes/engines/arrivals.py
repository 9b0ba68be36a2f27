"""What one message brings and one task awaits, whichever comes first."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from nodes.protocol.messages import Attempt

T = TypeVar("T")


class Arrivals(Generic[T]):
    """One value for every attempt at a request."""

    def __init__(self) -> None:
        self._values: dict[Attempt, asyncio.Future[T]] = {}

    def bring(self, attempt: Attempt, value: T) -> None:
        """The value has come."""
        expected = self._expected(attempt)
        if not expected.cancelled():
            expected.set_result(value)

    async def take(self, attempt: Attempt) -> T:
        """Wait for the value; it is forgotten afterwards, also if the wait is cancelled."""
        try:
            return await self._expected(attempt)
        finally:
            self._values.pop(attempt, None)

    def forget(self, attempt: Attempt) -> None:
        """Nobody will take it any more."""
        self._values.pop(attempt, None)

    def _expected(self, attempt: Attempt) -> asyncio.Future[T]:
        future = self._values.get(attempt)
        if future is None:
            future = self._values[attempt] = asyncio.Future()
        return future
