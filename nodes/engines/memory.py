"""Memory that a request holds on a node, and that transfers use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

from nodes.engines.budget import Lease
from nodes.protocol.world import Region, World


class Memory:
    """A region in one holder's hands until the end of a `with`, however that comes.

    Nothing recalls a transfer that was posted, and its peer names the region. So the region
    is freed, and its lease given back, when the holder has let go of it and the last
    transfer that uses it has ended.

    Args:
        free: gives the region back.
        lease: what it takes of a budget, if anything.
    """

    def __init__(
        self, region: Region, free: Callable[[Region], object], lease: Lease | None = None
    ) -> None:
        self.region = region
        self._free = free
        self._lease = lease
        self._uses: list[asyncio.Future[Any]] = []
        self._held = True
        self._left = 0

    def use(self, transfer: asyncio.Future[Any]) -> None:
        """Something moves in or out until the transfer ends."""
        self._uses.append(transfer)

    async def settled(self) -> None:
        """Wait for the transfers that use it; they go on if the wait is cancelled.

        Raises:
            Broken: one of them, or of those before, has failed.
        """
        if under_way := self._under_way():
            await _All(under_way).done
        for transfer in self._uses:
            transfer.result()

    def let_go(self) -> None:
        """The holder needs it no more. Idempotent."""
        if not self._held:
            return
        self._held = False
        under_way = self._under_way()
        self._left = len(under_way)
        for transfer in under_way:
            transfer.add_done_callback(self._ended)
        if not under_way:
            self._give_back()

    def hand_over(self) -> None:
        """The region is somebody else's from now on; what it took of the budget is free."""
        self._held = False
        if self._lease is not None:
            self._lease.release()

    def _under_way(self) -> list[asyncio.Future[Any]]:
        return [transfer for transfer in self._uses if not transfer.done()]

    def _ended(self, _: asyncio.Future[Any]) -> None:
        self._left -= 1
        if not self._left:
            self._give_back()

    def _give_back(self) -> None:
        self._free(self.region)
        if self._lease is not None:
            self._lease.release()

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.let_go()


class _All:
    """Transfers that are waited for together, and go on if the wait is cancelled.

    Attributes:
        done: when all of them are.
    """

    def __init__(self, transfers: list[asyncio.Future[Any]]) -> None:
        self.done: asyncio.Future[None] = asyncio.Future()
        self._left = len(transfers)
        for transfer in transfers:
            transfer.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Future[Any]) -> None:
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)


def allocated(world: World, rows: int, lease: Lease | None = None) -> Memory:
    """A new region of `rows` Full Blocks."""
    region = world.allocate(rows)
    return Memory(region, world.free, lease)
