"""What one message brings and one task awaits, whichever comes first."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Arrivals(Generic[T]):
    """One value for every request, by its number."""

    def __init__(self) -> None:
        self._values: dict[int, asyncio.Future[T]] = {}

    def bring(self, number: int, value: T) -> None:
        """The value has come."""
        self._expected(number).set_result(value)

    async def take(self, number: int) -> T:
        """Wait for the value; it is forgotten afterwards."""
        value = await self._expected(number)
        del self._values[number]
        return value

    def _expected(self, number: int) -> asyncio.Future[T]:
        future = self._values.get(number)
        if future is None:
            future = self._values[number] = asyncio.get_running_loop().create_future()
        return future
