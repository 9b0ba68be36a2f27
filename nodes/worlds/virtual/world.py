"""The world in virtual time: all nodes in one process over a modelled network."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, cast

from nodes.protocol.messages import Message, Remote
from nodes.protocol.world import Region, Span
from nodes.worlds.dram_bus import DramBus, dram_ends
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.identity_region import IdentityRegion
from nodes.worlds.virtual.loop import VirtualTimeLoop
from plan.lanes import TrafficClass
from plan.model import Plan
from plan.records import NodeStats


class VirtualClock:
    """Model time as the virtual-time loop keeps it."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.now = loop.time
        self.sleep_until = loop.sleep_until


class _Content(NamedTuple):
    source: IdentityRegion
    span: Span
    target: IdentityRegion
    target_row: int

    def move(self) -> None:
        """What stood in the source now stands in the target, too."""
        found = self.source.content(self.span)
        if shift := self.target_row - self.span.lo:
            found = [piece._replace(row=piece.row + shift) for piece in found]
        self.target.fill(found, self.span.group)


class _Transfer(NamedTuple):
    size_bytes: float
    completion: asyncio.Future[None]
    content: _Content | None


class _QueuePair:
    """Transfers between two ends in one class, one after another as on one connection."""

    __slots__ = ("_active", "_cluster", "_from", "_to", "_traffic", "_waiting")

    def __init__(self, cluster: VirtualCluster, source: str, target: str, traffic: TrafficClass):
        self._cluster = cluster
        self._from, self._to, self._traffic = source, target, traffic
        self._waiting: deque[_Transfer] = deque()
        self._active: _Transfer | None = None

    def post(self, transfer: _Transfer) -> None:
        if self._active is None:
            self._begin(transfer)
        else:
            self._waiting.append(transfer)

    def _begin(self, transfer: _Transfer) -> None:
        self._active = transfer
        flow = self._cluster.network.transfer(
            self._from, self._to, self._traffic, transfer.size_bytes
        )
        flow.add_done_callback(self._arrived)

    def _arrived(self, flow: asyncio.Future[None]) -> None:
        flow.result()
        arrived = self._active
        assert arrived is not None
        if arrived.content is not None:
            arrived.content.move()
        self._cluster.complete(self._from, self._to, arrived)
        self._active = None
        if self._waiting:
            self._begin(self._waiting.popleft())


class VirtualCluster:
    """What the nodes of one virtual run share.

    Args:
        plan: the run's plan.
        tasks: the run's task group.
        loop: a virtual-time loop.
    """

    def __init__(self, plan: Plan, tasks: asyncio.TaskGroup, loop: VirtualTimeLoop) -> None:
        self.plan = plan
        self.tasks = tasks
        self.loop = loop
        self.network = FlowNetwork(loop, plan.fabric, plan.lanes)
        self.regions: dict[int, IdentityRegion] = {}
        self.handlers: dict[str, Callable[[Message], None]] = {}
        self.layer_block_bytes = plan.scale.model_bytes(plan.layout.wire_bytes)
        self._dram_ends = dram_ends(plan.fabric)
        self.buses = {
            node: DramBus(plan.dram_bytes_per_s) for node in set(self._dram_ends.values())
        }
        self._pairs: dict[tuple[str, str, TrafficClass], _QueuePair] = {}
        self._next_key = 0

    def after_latency(self, callback: Callable[..., object], *arguments: object) -> None:
        self.loop.call_later(self.plan.message_s, callback, *arguments)

    def complete(self, source_end: str, target_end: str, arrived: _Transfer) -> None:
        """Tell the initiator, once the bytes had their turn in the DRAM at both ends."""
        now = self.loop.time()
        passed = now
        for end in (source_end, target_end):
            if node := self._dram_ends.get(end):
                passed = max(passed, self.buses[node].reserve(arrived.size_bytes, now))
        self.loop.call_at(passed + self.plan.message_s, arrived.completion.set_result, None)

    def allocate(self, rows: int) -> IdentityRegion:
        self._next_key += 1
        region = IdentityRegion(self._next_key, rows, self.plan.layout.groups)
        self.regions[region.key] = region
        return region

    def move(
        self,
        source: tuple[str, IdentityRegion],
        span: Span,
        target: tuple[str, IdentityRegion],
        target_row: int,
        traffic: TrafficClass,
    ) -> asyncio.Future[None]:
        """Move rows `span.lo ..` of the source to rows `target_row ..` of the target."""
        groups = self.plan.layout.groups if span.group is None else 1
        size = (span.hi - span.lo) * groups * self.layer_block_bytes
        content = _Content(source[1], span, target[1], target_row)
        return self.transfer(source[0], target[0], traffic, size, content)

    def transfer(
        self,
        source_end: str,
        target_end: str,
        traffic: TrafficClass,
        size_bytes: float,
        content: _Content | None = None,
    ) -> asyncio.Future[None]:
        """Move bytes between two ends, after what was posted there before."""
        key = (source_end, target_end, traffic)
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = _QueuePair(self, *key)
        completion: asyncio.Future[None] = self.loop.create_future()
        self.loop.call_later(
            self.plan.submit_s, pair.post, _Transfer(size_bytes, completion, content)
        )
        return completion


class VirtualWorld:
    """See `nodes.protocol.world.World`: one node's view of a `VirtualCluster`."""

    def __init__(self, cluster: VirtualCluster, node: str) -> None:
        self.node = node
        self.clock = VirtualClock(cluster.loop)
        self.stats = NodeStats(node=node)
        self._cluster = cluster

    def send(self, to: str, message: Message) -> None:
        self._cluster.after_latency(self._cluster.handlers[to], message)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # a deadlock is told by the names of the tasks that wait
        name = f"{self.node} {getattr(coroutine, '__qualname__', 'task')}"
        return self._cluster.tasks.create_task(coroutine, name=name)

    def allocate(self, rows: int) -> Region:
        return self._cluster.allocate(rows)

    def free(self, region: Region) -> None:
        del self._cluster.regions[region.key]

    def write(
        self,
        source: Region,
        span: Span,
        end: str,
        target: Remote,
        traffic: TrafficClass,
        target_row: int | None = None,
    ) -> asyncio.Future[None]:
        row = span.lo if target_row is None else target_row
        there = self._cluster.regions[target.key]
        return self._cluster.move(
            (end, cast(IdentityRegion, source)), span, (target.end, there), row, traffic
        )

    def read(
        self,
        target: Region,
        span: Span,
        end: str,
        source: Remote,
        traffic: TrafficClass,
        source_row: int | None = None,
    ) -> asyncio.Future[None]:
        row = span.lo if source_row is None else source_row
        there = self._cluster.regions[source.key]
        moved = Span(row, row + span.hi - span.lo, span.group)
        return self._cluster.move(
            (source.end, there), moved, (end, cast(IdentityRegion, target)), span.lo, traffic
        )

    def burst(
        self, size_bytes: float, end: str, peer_end: str, traffic: TrafficClass
    ) -> asyncio.Future[None]:
        return self._cluster.transfer(end, peer_end, traffic, size_bytes)

    def verified(self, blocks: int, corrupt: int) -> None:
        self.stats.blocks_verified += blocks
        self.stats.blocks_corrupt += corrupt
