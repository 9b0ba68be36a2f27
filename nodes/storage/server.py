"""The storage server: Full Blocks in a store, found through the trie, moved one-sidedly.

It writes what is read straight into the reader's buffer, and fetches what is persisted
straight from the writer's, so a node's SNIC carries Full Blocks and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from nodes.protocol.blocks import pieces, rows
from nodes.protocol.messages import (
    BlocksRead,
    BlocksStored,
    Fence,
    Left,
    Members,
    Message,
    NotDone,
    ReadBlocks,
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
        preloaded: how many tokens of context an agent had before it arrived.
        index: what an earlier life left; None: nothing.
        signs: gives signs of life, where anybody waits for them.
    """

    def __init__(
        self,
        world: World,
        store: BlockStore,
        layout: BlockLayout,
        preloaded: Callable[[int], int],
        index: Index | None = None,
        signs: Coroutine[Any, Any, None] | None = None,
    ) -> None:
        self._world = world
        self._end = snic_end(world.node)
        self._store = store
        self._layout = layout
        self._index = index or Index()
        self._preloaded = preloaded
        self._signs = signs

    @property
    def agents(self) -> int:
        """Of how many agents anything is known here."""
        return len(self._index.met) + len(self._index.left)

    def meet(self, agent: int) -> None:
        """Put the context in place that an agent had before it arrived, once."""
        if agent in self._index.met:
            return
        self._index.met.add(agent)
        held = self._preloaded(agent) // self._layout.tokens
        if held:
            runs = ((0, held),)
            region = self._world.allocate(held)
            region.fill(pieces(agent, runs, 0, held), None)
            with suppress(Broken):
                self._store.put(pieces(agent, runs, 0, held), region)
                self._index.trie.insert(agent, runs, held)
            self._world.free(region)

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
                self._world.restart("it was taken for dead")
            case Members():
                pass
            case _:
                raise TypeError(f"a storage host cannot handle {message!r}")

    async def _read(self, asked: ReadBlocks) -> None:
        held = self._index.trie.longest_prefix(asked.trajectory, asked.runs)
        if held > asked.lo:
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
        self._world.send(asked.node, BlocksRead(asked.ticket, held))

    async def _persist(self, asked: StoreBlocks) -> None:
        region = self._world.allocate(rows(asked.runs))
        span = Span(asked.lo, asked.hi)
        move = Move(region, span, asked.buffer, "storage", asked.buffer_row)
        try:
            await self._world.read(self._end, [move])
            if asked.trajectory >= self._index.oldest and asked.trajectory not in self._index.left:
                self.meet(asked.trajectory)
                self._store.put(pieces(asked.trajectory, asked.runs, asked.lo, asked.hi), region)
                self._publish(asked)
        except Broken as error:
            self._world.send(asked.node, _not_done(asked.ticket, error))
            return
        finally:
            self._world.free(region)
        self._world.send(asked.node, BlocksStored(asked.ticket))

    def _publish(self, stored: StoreBlocks) -> None:
        """Make blocks findable once every block before them is, in whatever order they came."""
        waiting = [*self._index.early.pop(stored.trajectory, []), stored]
        waiting.sort(key=lambda span: span.lo)
        early = [span for span in waiting if not self._inserted(span)]
        if early:
            self._index.early[stored.trajectory] = early

    def _inserted(self, span: StoreBlocks) -> bool:
        reached = self._index.trie.longest_prefix(span.trajectory, span.runs) >= span.lo
        if reached:
            self._index.trie.insert(span.trajectory, span.runs, span.hi)
        return reached

    def _forget(self, left: Left) -> None:
        """An agent's blocks go; those that are still on their way here are not kept."""
        self._index.met.discard(left.agent)
        self._index.early.pop(left.agent, None)
        self._store.remove(left.agent)
        self._index.trie.remove(left.agent)
        self._index.left.add(left.agent)
        self._index.oldest = left.oldest
        self._index.left = {agent for agent in self._index.left if agent >= left.oldest}


def _not_done(ticket: int, error: Broken) -> NotDone:
    return NotDone(ticket, str(error), isinstance(error, Stalled))
