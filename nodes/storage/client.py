"""A node's side of storage: its disk read queue, and the persisting of Full Blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from nodes.protocol.blocks import prefix
from nodes.protocol.messages import (
    BlocksRead,
    BlocksStored,
    ReadBlocks,
    Remote,
    Request,
    StoreBlocks,
)
from nodes.protocol.world import Region, World
from plan.fabric import storage_host
from plan.model import Plan
from plan.names import snic_end


class ReadTicket(NamedTuple):
    """Up to which block a read brought hits, and when it left the queue and ended (model
    seconds)."""

    upto: int
    start_s: float
    end_s: float


class StorageClient:
    """Reads wait in the node's disk read queue, FIFO, a few at a time on the SNIC.

    Args:
        changed: called when the queue has become shorter.
    """

    def __init__(self, world: World, plan: Plan, changed: Callable[[], None]) -> None:
        self._world = world
        self._tokens = plan.layout.tokens
        self._hosts = [node.name for node in plan.fabric.nodes_of("storage")]
        self._slots = asyncio.Semaphore(plan.constants.reads_in_flight)
        self._changed = changed
        self._read: dict[int, asyncio.Future[int]] = {}
        self._stored: dict[int, asyncio.Future[None]] = {}
        self._ticket = 0
        self.queued_tokens = 0

    def blocks_asked(self, request: Request) -> int:
        """Full Blocks of the prompt that may be in storage."""
        return request.cached // self._tokens

    def expect(self, lo: int, hi: int) -> None:
        """A read of rows `lo .. hi` will come: it counts as queued from now on."""
        self.queued_tokens += (hi - lo) * self._tokens

    async def read(
        self, request: Request, lo: int, hi: int, make_room: Callable[[], Awaitable[Region]]
    ) -> tuple[Region, ReadTicket]:
        """Bring an expected read's rows, as far as storage has them, to the same rows of the
        buffer that `make_room` finds once it is the read's turn."""
        async with self._slots:
            buffer = await make_room()
            start = self._world.clock.now()
            arrival = asyncio.get_running_loop().create_future()
            ticket = self._next_ticket()
            self._read[ticket] = arrival
            self._world.send(
                storage_host(self._hosts, request.agent),
                ReadBlocks(
                    ticket,
                    self._world.node,
                    request.agent,
                    prefix(request.runs, hi),
                    lo,
                    Remote(snic_end(self._world.node), buffer.key),
                    lo,
                ),
            )
            upto = await arrival
        self.queued_tokens -= (hi - lo) * self._tokens
        self._changed()
        return buffer, ReadTicket(min(upto, hi), start, self._world.clock.now())

    async def persist(
        self, request: Request, lo: int, hi: int, buffer: Region, buffer_row: int
    ) -> None:
        """Have storage fetch rows `lo .. hi` of the context, at `buffer_row` of `buffer`."""
        ticket = self._next_ticket()
        stored = self._stored[ticket] = asyncio.get_running_loop().create_future()
        self._world.send(
            storage_host(self._hosts, request.agent),
            StoreBlocks(
                ticket,
                self._world.node,
                request.agent,
                prefix(request.runs, hi),
                lo,
                hi,
                Remote(snic_end(self._world.node), buffer.key),
                buffer_row,
            ),
        )
        await stored

    def handle(self, message: BlocksRead | BlocksStored) -> None:
        """Storage answered."""
        if isinstance(message, BlocksRead):
            self._read.pop(message.ticket).set_result(message.upto)
        else:
            self._stored.pop(message.ticket).set_result(None)

    def _next_ticket(self) -> int:
        self._ticket += 1
        return self._ticket
