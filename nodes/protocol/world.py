"""The seam: what a node gets from outside, so that it runs on sockets or in virtual time.

Node code awaits only what a `World` hands out (and asyncio primitives built on it).
Control messages are one-way and ordered per pair of nodes. Bulk data moves by one-sided
verbs, as with RDMA: the initiator alone acts and gets the completion; transfers between
the same two ends in the same class go in the order in which they were posted. Many Layer
Blocks are posted at once and completed once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from nodes.protocol.blocks import Piece
from nodes.protocol.messages import Message, Remote
from plan.lanes import TrafficClass
from plan.records import NodeStats


class Span:
    """Part of a region: rows `lo .. hi`, one Layer Block group, or all (Full Blocks)."""

    __slots__ = ("group", "hi", "lo")

    def __init__(self, lo: int, hi: int, group: int | None = None) -> None:
        self.lo = lo
        self.hi = hi
        self.group = group


class Region(Protocol):
    """Registered memory of shape [rows, groups] Layer Blocks, in DRAM or HBM."""

    key: int

    def grow(self, rows: int) -> None:
        """Have at least so many rows; what is there stays. No transfer may be under way."""

    def fill(self, pieces: list[Piece], group: int | None) -> None:
        """KV-Cache was computed: the named blocks now stand in their rows."""

    def corrupt(self, pieces: list[Piece], group: int | None) -> int:
        """How many Layer Blocks of `pieces` are not there, or not intact."""


class Move:
    """A span to be moved between a region of this node and a peer's.

    Args:
        peer_row: where row `span.lo` of `region` is at the peer; None: rows keep their places.

    Attributes:
        row: that row of the peer's.
    """

    __slots__ = ("peer", "region", "row", "span", "traffic")

    def __init__(
        self,
        region: Region,
        span: Span,
        peer: Remote,
        traffic: TrafficClass,
        peer_row: int | None = None,
    ) -> None:
        self.region = region
        self.span = span
        self.peer = peer
        self.traffic = traffic
        self.row = span.lo if peer_row is None else peer_row


class Clock(Protocol):
    """Model time."""

    @property
    def stood_s(self) -> float:
        """How long the node's program has stood still in all, model seconds; computing does not
        go on meanwhile."""

    def now(self) -> float:
        """Model seconds since the run's start."""

    def sleep_until(self, deadline_s: float) -> asyncio.Future[None]:
        """Wait for an absolute model time; at once if it has passed."""


class World(Protocol):
    """One node's access to time, memory, network and tasks.

    Attributes:
        life: of the node's program, from 1: it may begin anew.
    """

    node: str
    life: int

    @property
    def clock(self) -> Clock: ...

    @property
    def stats(self) -> NodeStats: ...

    def send(self, to: str, message: Message) -> None:
        """Send a control message to a node; it arrives, in order, or the run fails."""

    def restart(self, reason: str) -> None:
        """End this life of the node's program; another begins, if the run has recovery."""

    def living(self, lives: Mapping[str, int]) -> None:
        """Hear which life of each node's program is there, 0 if none: what was sent to one before
        is dropped, and what is sent from now on goes to this one."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task of this node; its failure is the run's failure."""

    def allocate(self, rows: int) -> Region:
        """Register memory for `rows` Full Blocks."""

    def free(self, region: Region) -> None:
        """Give memory back; no transfer may still use it."""

    def write(self, end: str, moves: Sequence[Move]) -> asyncio.Future[None]:
        """One-sided writes from this node's `end` into regions of peers, as one posting.

        Starts at once; await it for the completion of all. `moves` is not empty. Where one
        fails, the future raises `Broken` when all have ended.
        """

    def read(self, end: str, moves: Sequence[Move]) -> asyncio.Future[None]:
        """One-sided reads of peers' regions into this node's at `end`, as one posting."""

    def burst(
        self, size_bytes: float, end: str, peer_end: str, traffic: TrafficClass
    ) -> asyncio.Future[None]:
        """Send `size_bytes` (model bytes) of no lasting content; await it for the arrival."""

    def verified(self, blocks: int, corrupt: int) -> None:
        """Count Layer Blocks that were checked where they were consumed."""


class Node(Protocol):
    """A node's program."""

    def start(self) -> None:
        """The run begins: spawn what acts by itself."""

    def handle(self, message: Message) -> None:
        """A control message arrived."""
