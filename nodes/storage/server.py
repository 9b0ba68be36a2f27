"""The storage server: Full Blocks in a store, found through the trie, moved one-sidedly.

It writes what is read straight into the reader's buffer, and fetches what is persisted
straight from the writer's, so a node's SNIC carries Full Blocks and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.protocol.blocks import pieces, rows
from nodes.protocol.messages import BlocksRead, BlocksStored, Message, ReadBlocks, StoreBlocks
from nodes.protocol.world import Move, Span, World
from nodes.storage.block_store import BlockStore
from nodes.storage.trie import BlockTrie
from plan.deployment import BlockLayout
from plan.names import snic_end
from plan.workload import Trajectory


class StorageNode:
    """One storage host.

    Args:
        world: this node's world.
        store: where Full Blocks are kept.
        layout: how KV-Cache is cut into blocks.
    """

    def __init__(self, world: World, store: BlockStore, layout: BlockLayout) -> None:
        self._world = world
        self._end = snic_end(world.node)
        self._store = store
        self._layout = layout
        self._trie = BlockTrie()
        self._early: dict[int, list[StoreBlocks]] = {}

    def preload(self, trajectories: Iterable[tuple[int, Trajectory]]) -> None:
        """Put the contexts in place that agents had before the run began."""
        for number, trajectory in trajectories:
            held = trajectory.preloaded // self._layout.tokens
            if held:
                runs = ((0, held),)
                region = self._world.allocate(held)
                region.fill(pieces(number, runs, 0, held), None)
                self._store.put(pieces(number, runs, 0, held), region)
                self._world.free(region)
                self._trie.insert(number, runs, held)

    def start(self) -> None:
        """Storage acts on messages only."""

    def handle(self, message: Message) -> None:
        match message:
            case ReadBlocks():
                self._world.spawn(self._read(message))
            case StoreBlocks():
                self._world.spawn(self._persist(message))
            case _:
                raise TypeError(f"a storage host cannot handle {message!r}")

    async def _read(self, asked: ReadBlocks) -> None:
        held = self._trie.longest_prefix(asked.trajectory, asked.runs)
        if held > asked.lo:
            region = self._world.allocate(held)
            self._store.load(pieces(asked.trajectory, asked.runs, asked.lo, held), region)
            span = Span(asked.lo, held)
            await self._world.write(
                self._end, [Move(region, span, asked.buffer, "storage", asked.buffer_row)]
            )
            self._world.free(region)
        self._world.send(asked.node, BlocksRead(asked.ticket, held))

    async def _persist(self, asked: StoreBlocks) -> None:
        region = self._world.allocate(rows(asked.runs))
        span = Span(asked.lo, asked.hi)
        await self._world.read(
            self._end, [Move(region, span, asked.buffer, "storage", asked.buffer_row)]
        )
        self._store.put(pieces(asked.trajectory, asked.runs, asked.lo, asked.hi), region)
        self._world.free(region)
        self._publish(asked)
        self._world.send(asked.node, BlocksStored(asked.ticket))

    def _publish(self, stored: StoreBlocks) -> None:
        """Make blocks findable once every block before them is, in whatever order they came."""
        waiting = [*self._early.pop(stored.trajectory, []), stored]
        waiting.sort(key=lambda span: span.lo)
        early = [span for span in waiting if not self._inserted(span)]
        if early:
            self._early[stored.trajectory] = early

    def _inserted(self, span: StoreBlocks) -> bool:
        reached = self._trie.longest_prefix(span.trajectory, span.runs) >= span.lo
        if reached:
            self._trie.insert(span.trajectory, span.runs, span.hi)
        return reached
