"""The world in virtual time: all nodes in one process over a modelled network."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import CoroutineType
from typing import Any, cast

from nodes.protocol.messages import Message
from nodes.protocol.world import Move, Region, Span
from nodes.worlds.dram_bus import DramBus, dram_ends
from nodes.worlds.failure import fail
from nodes.worlds.virtual.agenda import Agenda
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.identity_region import IdentityRegion
from nodes.worlds.virtual.loop import VirtualTimeLoop
from plan.errors import Broken
from plan.lanes import TrafficClass
from plan.model import Plan
from plan.records import NodeStats


class VirtualClock:
    """Model time as the virtual-time loop keeps it."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda

    @property
    def stood_s(self) -> float:
        return 0.0

    def now(self) -> float:
        return self._agenda.now_s

    def sleep_until(self, deadline_s: float) -> asyncio.Future[None]:
        return self._agenda.sleep_until(deadline_s)


class _Content:
    """What transfers mean: what stood in the source then stands in the target, too."""

    __slots__ = ("row", "source", "span", "target")

    def __init__(
        self, source: IdentityRegion, span: Span, target: IdentityRegion, row: int
    ) -> None:
        self.source = source
        self.span = span
        self.target = target
        self.row = row


class _Posting:
    """What was posted together: done when the last transfer on each queue pair is."""

    __slots__ = ("completion", "pairs")

    def __init__(self, completion: asyncio.Future[None], pairs: int) -> None:
        self.completion = completion
        self.pairs = pairs

    def passed(self) -> None:
        self.pairs -= 1
        if not self.pairs and not self.completion.done():
            self.completion.set_result(None)


class _Transfer:
    """Bytes, and what they mean, on their way over a queue pair.

    `posting` is None where a later transfer of the posting follows on the same queue pair.
    """

    __slots__ = ("content", "pair", "posting", "size_bytes")

    def __init__(self, pair: _QueuePair, size_bytes: float, content: _Content | None) -> None:
        self.pair = pair
        self.size_bytes = size_bytes
        self.content = content
        self.posting: _Posting | None = None


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
        self._cluster.network.transfer(
            self._from, self._to, self._traffic, transfer.size_bytes, self._arrived
        )

    def _arrived(self) -> None:
        arrived = self._active
        assert arrived is not None
        if arrived.content is not None:
            content = arrived.content
            content.target.copy(content.source, content.span, content.row)
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
        network: what carries the nodes' transfers, in the loop's time.

    Attributes:
        failed: the node whose task was the first to fail.
    """

    def __init__(
        self, plan: Plan, tasks: asyncio.TaskGroup, loop: VirtualTimeLoop, network: FlowNetwork
    ) -> None:
        self.plan = plan
        self.tasks = tasks
        self.loop = loop
        self.failed: str | None = None
        self._running: set[asyncio.Task[None]] = set()
        self.agenda = loop.agenda
        self._message_s = plan.message_s
        self._messages = self.agenda.delay(plan.message_s)
        self._postings = self.agenda.delay(plan.submit_s)
        self.network = network
        self.regions: dict[int, IdentityRegion] = {}
        self.handlers: dict[str, Callable[[Message], None]] = {}
        self.layer_block_bytes = plan.scale.model_bytes(plan.layout.wire_bytes)
        self._dram_ends = dram_ends(plan.fabric)
        self.buses = {
            node: DramBus(plan.dram_bytes_per_s) for node in set(self._dram_ends.values())
        }
        self._pairs: dict[tuple[str, str, TrafficClass], _QueuePair] = {}
        self._next_key = 0

    def spawn(self, coroutine: Coroutine[Any, Any, None], node: str) -> asyncio.Task[None]:
        """Run a task of a node; the group hears of its failure only, for there are many."""
        # a deadlock is told by the names of the tasks that wait; what is compiled has a type's
        name = type(coroutine).__qualname__
        if isinstance(coroutine, CoroutineType):
            name = coroutine.__qualname__
        task = asyncio.Task(coroutine, loop=self.loop, name=f"{node} {name}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed = self.failed or task.get_name().partition(" ")[0]
            fail(self.tasks, error)

    def after_latency(self, callback: Callable[..., object], *arguments: object) -> None:
        self._messages.after(callback, arguments)

    def complete(self, source_end: str, target_end: str, arrived: _Transfer) -> None:
        """Tell the initiator, once the bytes had their turn in the DRAM at both ends.

        What follows on the same queue pair has its turn later, so the last one speaks for
        all.
        """
        now = self.agenda.now_s
        passed = now
        for end in (source_end, target_end):
            if node := self._dram_ends.get(end):
                passed = max(passed, self.buses[node].reserve(arrived.size_bytes, now))
        if arrived.posting is not None:
            self.agenda.at(passed + self._message_s, arrived.posting.passed, ())

    def allocate(self, rows: int) -> IdentityRegion:
        self._next_key += 1
        region = IdentityRegion(self._next_key, rows, self.plan.layout.groups)
        self.regions[region.key] = region
        return region

    def outward(self, end: str, move: Move, there: IdentityRegion) -> _Transfer:
        """A write, to be posted: a span of an end's own region into the peer's."""
        here = cast(IdentityRegion, move.region)
        return self._moving((end, here), move.span, (move.peer.end, there), move.row, move.traffic)

    def inward(self, end: str, move: Move, there: IdentityRegion) -> _Transfer:
        """A read, to be posted: of the peer's region into a span of an end's own."""
        here, span, row = cast(IdentityRegion, move.region), move.span, move.row
        moved = Span(row, row + span.hi - span.lo, span.group)
        return self._moving((move.peer.end, there), moved, (end, here), span.lo, move.traffic)

    def _moving(
        self,
        source: tuple[str, IdentityRegion],
        span: Span,
        target: tuple[str, IdentityRegion],
        target_row: int,
        traffic: TrafficClass,
    ) -> _Transfer:
        """Rows `span.lo ..` of the source to rows `target_row ..` of the target."""
        groups = self.plan.layout.groups if span.group is None else 1
        size_bytes = (span.hi - span.lo) * groups * self.layer_block_bytes
        content = _Content(source[1], span, target[1], target_row)
        return _Transfer(self.pair(source[0], target[0], traffic), size_bytes, content)

    def pair(self, source_end: str, target_end: str, traffic: TrafficClass) -> _QueuePair:
        """The queue pair of a class from one end to another."""
        key = (source_end, target_end, traffic)
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = _QueuePair(self, *key)
        return pair

    def post(self, transfers: list[_Transfer]) -> asyncio.Future[None]:
        """Begin transfers together, each after what was posted on its queue pair before."""
        last = {transfer.pair: transfer for transfer in transfers}
        completion: asyncio.Future[None] = asyncio.Future()
        posting = _Posting(completion, len(last))
        for transfer in last.values():
            transfer.posting = posting
        self._postings.after(_begin, (transfers,))
        return completion


def _begin(transfers: list[_Transfer]) -> None:
    for transfer in transfers:
        transfer.pair.post(transfer)


class VirtualWorld:
    """See `nodes.protocol.world.World`: one node's view of a `VirtualCluster`."""

    def __init__(self, cluster: VirtualCluster, node: str) -> None:
        self.node = node
        self.life = 1
        self.clock = VirtualClock(cluster.agenda)
        self.stats = NodeStats(node=node)
        self._cluster = cluster

    def restart(self, reason: str) -> None:
        fail(self._cluster.tasks, Broken(f"{self.node} has to begin anew: {reason}"))

    def living(self, lives: Mapping[str, int]) -> None:
        """Nothing here goes by connections, which could be of a life that is over."""

    def send(self, to: str, message: Message) -> None:
        self._cluster.after_latency(self._cluster.handlers[to], message)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._cluster.spawn(coroutine, self.node)

    def allocate(self, rows: int) -> Region:
        return self._cluster.allocate(rows)

    def free(self, region: Region) -> None:
        del self._cluster.regions[region.key]

    def write(self, end: str, moves: Sequence[Move]) -> asyncio.Future[None]:
        cluster = self._cluster
        regions = cluster.regions
        return cluster.post([cluster.outward(end, one, regions[one.peer.key]) for one in moves])

    def read(self, end: str, moves: Sequence[Move]) -> asyncio.Future[None]:
        cluster = self._cluster
        regions = cluster.regions
        return cluster.post([cluster.inward(end, one, regions[one.peer.key]) for one in moves])

    def burst(
        self, size_bytes: float, end: str, peer_end: str, traffic: TrafficClass
    ) -> asyncio.Future[None]:
        pair = self._cluster.pair(end, peer_end, traffic)
        return self._cluster.post([_Transfer(pair, size_bytes, None)])

    def verified(self, blocks: int, corrupt: int) -> None:
        self.stats.blocks_verified += blocks
        self.stats.blocks_corrupt += corrupt
