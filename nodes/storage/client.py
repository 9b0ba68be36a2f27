"""A node's side of storage: its disk read queue, and the persisting of Full Blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from nodes.protocol.blocks import Share, prefix, rows, shares
from nodes.protocol.messages import (
    BlocksRead,
    BlocksStored,
    NotDone,
    ReadBlocks,
    Remote,
    Request,
    StoreBlocks,
)
from nodes.protocol.world import Region, World
from nodes.storage.together import read_together, stored_together
from plan.errors import ReadBroken
from plan.fabric import storage_host
from plan.model import Plan
from plan.names import snic_end

SHUT_LEASES = 2.0
"""For so many leases a node reads nothing after a read of which nothing came."""
SHUT_TOKENS = 1_000_000_000
"""And its disk read queue is said to be so much longer."""


class StorageClient:
    """Reads wait in the node's disk read queue, FIFO, a few at a time on the SNIC.

    Args:
        changed: called when the queue has become shorter.

    Attributes:
        turn: has room for the reads that the node does at once.
        queued_tokens: the disk read queue, with those that are being read.
    """

    def __init__(self, world: World, plan: Plan, changed: Callable[[], None]) -> None:
        self._world = world
        self._end = snic_end(world.node)
        self._tokens = plan.layout.tokens
        self._hosts = [node.name for node in plan.fabric.nodes_of("storage")]
        self.turn = asyncio.Semaphore(plan.constants.reads_in_flight)
        self._changed = changed
        self._read: dict[int, asyncio.Future[int]] = {}
        self._stored: dict[int, asyncio.Future[None]] = {}
        self._asked: dict[int, str] = {}  # ticket -> host, where hosts may die
        self._recovery = plan.recovery
        self._shut_until_s = 0.0  # until then nothing is read, for nothing came a moment ago
        self._lives: dict[str, int] = {}
        self._ticket = 0
        self.queued_tokens = 0

    def blocks_asked(self, request: Request) -> int:
        """Full Blocks of the prompt that may be in storage."""
        return request.cached // self._tokens

    def queued(self, blocks: int) -> Queued:
        """A read of so many blocks comes within this context: it counts as queued until the
        end. None is no read."""
        return Queued(self, blocks * self._tokens)

    def dequeued(self, tokens: int) -> None:
        """A read that was queued is over, or will not come."""
        self.queued_tokens -= tokens
        self._changed()

    def read(self, request: Request, lo: int, hi: int, buffer: Region) -> asyncio.Future[int]:
        """Have storage write rows `lo .. hi` of the context to the same rows of `buffer`, when
        it is the read's `turn`; the result says up to which row it had them. What it has of
        stems is read apart, at the same time."""
        asked = [
            (share, self._read_share(share, max(0, lo - share.row), buffer))
            for share in shares(request.agent, prefix(request.runs, hi))
            if share.row + rows(share.runs) > lo
        ]
        if len(asked) == 1 and asked[0][0].row == 0:
            return asked[0][1]
        return read_together(asked, lo)

    def _read_share(self, share: Share, lo: int, buffer: Region) -> asyncio.Future[int]:
        """Rows are those of the share, but for the buffer."""
        arrival: asyncio.Future[int] = asyncio.Future()
        host = storage_host(self._hosts, share.owner)
        if self._recovery is not None:
            if self._lives.get(host, 1) == 0:
                arrival.set_result(lo)  # of a dead host nothing is to be had
                return arrival
            if self._world.clock.now() < self._shut_until_s:
                _break(arrival, "nothing came over the storage NIC a moment ago")
                return arrival
        ticket = self._next_ticket(host)
        self._read[ticket] = arrival
        self._world.send(
            host,
            ReadBlocks(
                ticket,
                self._world.node,
                share.owner,
                share.runs,
                lo,
                Remote(self._end, buffer.key),
                share.row + lo,
            ),
        )
        return arrival

    def persist(
        self, request: Request, lo: int, hi: int, buffer: Region, buffer_row: int
    ) -> asyncio.Future[None]:
        """Have storage fetch rows `lo .. hi` of the context, at `buffer_row` of `buffer`."""
        asked = [
            self._persist_share(share, max(0, lo - share.row), buffer, buffer_row - lo)
            for share in shares(request.agent, prefix(request.runs, hi))
            if share.row + rows(share.runs) > lo
        ]
        return asked[0] if len(asked) == 1 else stored_together(asked)

    def _persist_share(
        self, share: Share, lo: int, buffer: Region, shift: int
    ) -> asyncio.Future[None]:
        """Rows are those of the share; the context's stand `shift` lower in the buffer."""
        stored: asyncio.Future[None] = asyncio.Future()
        host = storage_host(self._hosts, share.owner)
        if self._recovery is not None and self._lives.get(host, 1) == 0:
            stored.set_result(None)  # the next turn will miss it
            return stored
        ticket = self._next_ticket(host)
        self._stored[ticket] = stored
        self._world.send(
            host,
            StoreBlocks(
                ticket,
                self._world.node,
                share.owner,
                share.runs,
                lo,
                rows(share.runs),
                Remote(self._end, buffer.key),
                share.row + lo + shift,
            ),
        )
        return stored

    def handle(self, message: BlocksRead | BlocksStored | NotDone) -> None:
        """Storage answered."""
        ticket = message.ticket
        if self._recovery is not None and self._asked.pop(ticket, None) is None:
            return  # its host had been taken for dead meanwhile
        if isinstance(message, BlocksRead):
            self._read.pop(ticket).set_result(message.upto)
        elif isinstance(message, BlocksStored):
            self._stored.pop(ticket).set_result(None)
        else:
            if message.stalled and self._recovery is not None:
                shut_s = SHUT_LEASES * self._recovery.lease_s
                self._shut_until_s = self._world.clock.now() + shut_s
                self._changed()
            self._came_to_nothing(ticket, message.why)

    @property
    def reported_tokens(self) -> int:
        """The disk read queue as others are to see it: very long where nothing can be read."""
        if self._recovery is not None and self._world.clock.now() < self._shut_until_s:
            return self.queued_tokens + SHUT_TOKENS
        return self.queued_tokens

    def members(self, lives: dict[str, int]) -> None:
        """Who is there: what a host was asked for in a life that is over comes to nothing."""
        for host in self._hosts:
            if lives[host] != self._lives.get(host, 1):
                gone = [ticket for ticket, asked in self._asked.items() if asked == host]
                for ticket in gone:
                    del self._asked[ticket]
                    self._came_to_nothing(ticket, f"{host} died")
            self._lives[host] = lives[host]

    def _came_to_nothing(self, ticket: int, why: str) -> None:
        if ticket in self._read:
            _break(self._read.pop(ticket), why)
        else:
            self._stored.pop(ticket).set_result(None)  # the next turn will miss it

    def _next_ticket(self, host: str) -> int:
        self._ticket += 1
        if self._recovery is not None:
            self._asked[self._ticket] = host
        return self._ticket


def _break(read: asyncio.Future[int], why: str) -> None:
    read.set_exception(ReadBroken(why))
    read.exception()  # who asked may have gone


class Queued:
    """A place in the disk read queue, held until the end of a `with`."""

    def __init__(self, storage: StorageClient, tokens: int) -> None:
        self._storage = storage
        self._tokens = tokens

    def __enter__(self) -> None:
        self._storage.queued_tokens += self._tokens

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._tokens:
            self._storage.dequeued(self._tokens)
