"""A request's DE buffer: from the DRAM pool or new, and into the pool or free again."""

from __future__ import annotations

import asyncio
from types import TracebackType

from nodes.engines.budget import Budget
from nodes.engines.memory import Memory, allocated
from nodes.protocol.messages import Request
from nodes.protocol.world import Region, World
from nodes.storage.dram_pool import DramPool, Entry
from plan.model import Plan


class DeBuffer:
    """In a request's hands until the end of a `with`, or until it is put away.

    Args:
        room: the node's DRAM for DE buffers, bytes; rows that the pool has are charged there.
    """

    def __init__(
        self, world: World, plan: Plan, room: Budget, pool: DramPool, request: Request
    ) -> None:
        self._world = world
        self._plan = plan
        self._room = room
        self._pool = pool
        self._request = request
        self._entry: Entry | None = None
        self._memory: Memory | None = None

    @property
    def memory(self) -> Memory:
        """The registered buffer."""
        assert self._memory is not None
        return self._memory

    async def find(self) -> int:
        """Have the trajectory's entry of the pool; returns how many rows are there already."""
        self._entry = await self._pool.lease(self._request)
        return self._entry.ready if self._entry else 0

    async def register(self) -> Memory:
        """Wait for room for what the pool does not have, and register the buffer."""
        layout, entry = self._plan.layout, self._entry
        more = layout.blocks(self._request.prompt) - (entry.rows if entry else 0)
        lease = await self._room.lease(max(0, more) * self._plan.block_bytes)
        rows = layout.blocks(self._request.total)
        if entry is None:
            self._memory = allocated(self._world, rows, lease)
        else:
            entry.region.grow(rows)
            self._memory = Memory(entry.region, self._forget, lease)
        return self._memory

    def put_away(self, persisted: asyncio.Future[None] | None) -> Entry | None:
        """It has served: into the pool, whose entry it then is, or free as soon as all is
        persisted."""
        request, layout = self._request, self._plan.layout
        rows, ready = layout.blocks(request.total), request.prompt // layout.tokens
        kept = self._pool.keep(request, self.memory.region, rows, ready, self._entry)
        if kept is None:
            self.memory.let_go()
            return None
        if persisted is not None:
            kept.use(persisted)
        self.memory.hand_over()
        return kept

    def _forget(self, _: Region) -> None:
        assert self._entry is not None
        self._pool.forget(self._request.agent, self._entry)

    def __enter__(self) -> DeBuffer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._memory is not None:
            self._memory.let_go()
        elif self._entry is not None:
            self._pool.forget(self._request.agent, self._entry)
