"""The storage server: Full Blocks in a store, found through the trie, moved one-sidedly.

It writes what is read straight into the reader's buffer, and fetches what is persisted
straight from the writer's, so a node's SNIC carries Full Blocks and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from nodes.protocol.blocks import Runs, pieces, rows
from nodes.protocol.messages import (
    BlocksRead,
    BlocksStored,
    Fence,
    Held,
    Left,
    Members,
    Message,
    NotDone,
    ReadBlocks,
    Recount,
    StoreBlocks,
)
from nodes.protocol.world import Move, Span, World
from nodes.storage.block_store import BlockStore
from nodes.storage.index import Index
from plan.deployment import BlockLayout
from plan.errors import Broken, Stalled
from plan.names import snic_end


class StorageNode:
    """One storage host.

    Args:
        world: this node's world.
        store: where Full Blocks are kept.
        layout: how KV-Cache is cut into blocks.
        preloaded: the blocks of an agent or stem that are here before an agent arrives.
        index: what an earlier life left; None: nothing.
        signs: gives signs of life, where anybody waits for them.
        block_s: of a single read, the least time that a Full Block takes, model seconds.
    """

    def __init__(
        self,
        world: World,
        store: BlockStore,
        layout: BlockLayout,
        preloaded: Callable[[int], Runs],
        index: Index | None = None,
        signs: Coroutine[Any, Any, None] | None = None,
        block_s: float = 0.0,
    ) -> None:
        self._world = world
        self._end = snic_end(world.node)
        self._store = store
        self._layout = layout
        self._index = index or Index()
        self._preloaded = preloaded
        self._signs = signs
        self._block_s = block_s
        self._members = Members(0 if world.life == 1 else -1, {})

    @property
    def agents(self) -> int:
        """Of how many agents anything is known here."""
        return self._index.agents

    def meet(self, owner: int) -> None:
        """Put the context in place that an agent had before it arrived, or what agents had of a
        stem, once."""
        if self._index.knows(owner):
            return
        runs = self._preloaded(owner)
        held = rows(runs)
        if held:
            region = self._world.allocate(held)
            region.fill(pieces(owner, runs, 0, held), None)
            try:
                self._store.put(pieces(owner, runs, 0, held), region)
            except Broken:
                held = 0
            self._world.free(region)
        self._index.meet(owner, runs, held)

    def start(self) -> None:
        """Storage acts on messages only; beside that it may give signs of life."""
        if self._signs is not None:
            self._world.spawn(self._signs)

    def handle(self, message: Message) -> None:
        match message:
            case ReadBlocks():
                self.meet(message.trajectory)
                self._world.spawn(self._read(message))
            case StoreBlocks():
                self._world.spawn(self._persist(message))
            case Left():
                self._forget(message)
            case Fence():
                if message.life == self._world.life:
                    self._world.restart("it was taken for dead")
            case Members():
                self._members = message
                self._world.living(message.lives)
            case Recount():
                held = Held(self._world.node, self._world.life, self._members)
                self._world.send(message.scheduler, held)
            case _:
                raise TypeError(f"a storage host cannot handle {message!r}")

    async def _read(self, asked: ReadBlocks) -> None:
        held = self._index.held(asked.trajectory, asked.runs)
        if held > asked.lo:
            begun_s = self._world.clock.now()
            region = self._world.allocate(held)
            self._store.load(pieces(asked.trajectory, asked.runs, asked.lo, held), region)
            span = Span(asked.lo, held)
            move = Move(region, span, asked.buffer, "storage", asked.buffer_row)
            try:
                await self._world.write(self._end, [move])
            except Broken as error:
                self._world.send(asked.node, _not_done(asked.ticket, error))
                return
            finally:
                self._world.free(region)
            ends_s = begun_s + (held - asked.lo) * self._block_s
            if ends_s > self._world.clock.now():  # no alarm is late that need not be set
                await self._world.clock.sleep_until(ends_s)
        self._world.send(asked.node, BlocksRead(asked.ticket, held))

    async def _persist(self, asked: StoreBlocks) -> None:
        region = self._world.allocate(rows(asked.runs))
        span = Span(asked.lo, asked.hi)
        move = Move(region, span, asked.buffer, "storage", asked.buffer_row)
        try:
            await self._world.read(self._end, [move])
            if not self._index.gone(asked.trajectory):
                self.meet(asked.trajectory)
                self._store.put(pieces(asked.trajectory, asked.runs, asked.lo, asked.hi), region)
                self._index.stored(asked)
        except Broken as error:
            self._world.send(asked.node, _not_done(asked.ticket, error))
            return
        finally:
            self._world.free(region)
        self._world.send(asked.node, BlocksStored(asked.ticket))

    def _forget(self, left: Left) -> None:
        """An agent's blocks go; those that are still on their way here are not kept."""
        self._store.remove(left.agent)
        self._index.forget(left)


def _not_done(ticket: int, error: Broken) -> NotDone:
    return NotDone(ticket, str(error), isinstance(error, Stalled))
