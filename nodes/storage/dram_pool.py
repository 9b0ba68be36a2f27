"""The DRAM pool: decode nodes keep KV-Cache in memory after its use.

It stands for the baseline that puts memory in front of storage (SGLang HiCache with the
Mooncake DRAM pool; paper section 4). What happens, in order:

1. When decode starts, the request's DE buffer is not freed: it becomes the pool entry of
   its trajectory, if it fits the pool once the least recently used entries have gone. Rows
   that decode adds join it as they are copied to DRAM on their way to storage, where
   everything is persisted all the same.
2. The node tells the scheduler which trajectories it holds. The next turn goes to a DE of
   that node if one has the HBM, else the ordinary rule applies and storage is read.
3. There the entry becomes the turn's DE buffer again. Its rows are hits without a disk read
   and go to the PE's HBM as on the DE read path, layer by layer over the compute network;
   storage is asked for the rows beyond only, and its trie says what it has.

Entries are not leased to other nodes: one that its trajectory has left is dropped by LRU.
Only decode nodes pool; a prefill node's KV-Cache ends up in a DE buffer in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodes.protocol.blocks import Runs, common
from nodes.protocol.messages import Request
from nodes.protocol.world import Region, World


class Entry:
    """KV-Cache of one trajectory in the node's DRAM.

    Attributes:
        rows: Full Blocks that the pool has set aside for it.
        ready: leading rows whose KV-Cache is there.
        uses: transfers that have it as their source or target.
    """

    def __init__(self, region: Region, runs: Runs, rows: int, ready: int) -> None:
        self.region = region
        self.runs = runs
        self.rows = rows
        self.ready = ready
        self.uses: set[asyncio.Future[None]] = set()

    def use(self, transfer: asyncio.Future[None]) -> None:
        """Until that ends, something moves in or out: no eviction, no next turn."""
        self.uses.add(transfer)
        transfer.add_done_callback(self.uses.discard)


class DramPool:
    """The pool of one node.

    Args:
        rows: capacity, Full Blocks.
        told: called with a trajectory and whether the node holds an entry of it, at every
            change.

    Attributes:
        free: Full Blocks that no entry, leased ones included, has been given.
    """

    def __init__(self, world: World, rows: float, told: Callable[[int, bool], None]) -> None:
        self._world = world
        self.free = rows
        self._told = told
        self._entries: dict[int, Entry] = {}  # least recently used first

    @property
    def kept(self) -> int:
        """How many trajectories have an entry that is not leased."""
        return len(self._entries)

    def entry(self, trajectory: int) -> Entry | None:
        """The trajectory's entry, unless it is leased."""
        return self._entries.get(trajectory)

    async def lease(self, request: Request) -> Entry | None:
        """The entry of the request's trajectory, for the request alone: it is not evicted
        before it is kept again or forgotten. Its `ready` rows are the request's, too."""
        entry = self._entries.pop(request.agent, None)
        if entry is None:
            return None
        try:
            while entry.uses:
                await asyncio.wait(entry.uses)
        except asyncio.CancelledError:
            self._entries[request.agent] = entry
            raise
        entry.ready = min(entry.ready, common(entry.runs, request.runs))
        return entry

    def keep(
        self, request: Request, region: Region, rows: int, ready: int, leased: Entry | None
    ) -> Entry | None:
        """Make `region` the entry of the request's trajectory, the newest one.

        Args:
            rows: Full Blocks that it will hold; ready: those that it holds.
            leased: the entry that the request had, whose region this is.

        Returns:
            The entry, or None if there is no room even without all unused entries, or if
            another attempt has put one there; the region, and the lease, then remain the
            caller's.
        """
        if request.agent in self._entries:
            return None
        more = rows - (leased.rows if leased else 0)
        if not self._make_room(more):
            return None
        self.free -= more
        entry = self._entries[request.agent] = Entry(region, request.runs, rows, ready)
        self._told(request.agent, True)
        return entry

    def forget(self, trajectory: int, leased: Entry) -> None:
        """A leased entry is no more; its region is freed."""
        self._world.free(leased.region)
        self.free += leased.rows
        self._told(trajectory, False)

    def _make_room(self, rows: int) -> bool:
        unused = {t: entry for t, entry in self._entries.items() if not entry.uses}
        if self.free + sum(entry.rows for entry in unused.values()) < rows:
            return False
        for trajectory, entry in unused.items():
            if self.free >= rows:
                break
            del self._entries[trajectory]
            self.forget(trajectory, entry)
        return True
