"""The world in virtual time whose nodes can die, pause and begin anew.

What a node awaits reaches it through its host: not while that is paused, and never in a life
that is over. Memory is registered by node and life, so that what was posted for one life does
not land in another; a transfer whose memory or node is gone fails, as the adapter would say.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import Any, cast

from nodes.protocol.messages import Message, Remote
from nodes.protocol.world import Move, Region
from nodes.worlds.failure import fail, settle
from nodes.worlds.virtual.breakable_network import BreakableNetwork
from nodes.worlds.virtual.host import Host
from nodes.worlds.virtual.identity_region import IdentityRegion
from nodes.worlds.virtual.loop import VirtualTimeLoop
from nodes.worlds.virtual.world import (
    VirtualClock,
    VirtualCluster,
    VirtualWorld,
    _Posting,
    _QueuePair,
    _Transfer,
)
from plan.errors import Broken, Stalled
from plan.lanes import TrafficClass
from plan.model import Plan
from plan.names import mgmt_end

LIFE_SHIFT = 32
"""A region's key has its node's life above so many bits."""


class MortalRegion(IdentityRegion):
    """Memory that may be gone while a transfer is under way to it."""

    __slots__ = ("registered",)

    def __init__(self, key: int, rows: int, groups: int) -> None:
        IdentityRegion.__init__(self, key, rows, groups)
        self.registered = True


class _Errand(_Posting):
    """A posting that may fail: when all of its queue pairs have ended."""

    __slots__ = ("error",)

    def __init__(self, completion: asyncio.Future[None], pairs: int) -> None:
        _Posting.__init__(self, completion, pairs)
        self.error: Broken | None = None

    def passed(self) -> None:
        self.pairs -= 1
        if self.pairs or self.completion.done():
            return
        if self.error is None:
            self.completion.set_result(None)
        else:
            self.completion.set_exception(self.error)

    def broke(self, error: Broken) -> None:
        self.error = error
        self.passed()


class _MortalPair(_QueuePair):
    """A queue pair: when one of its transfers fails, all that were posted behind it do."""

    __slots__ = ()

    def _begin(self, transfer: _Transfer) -> None:
        self._active = transfer
        cluster = cast(MortalCluster, self._cluster)
        for end in (self._from, self._to):
            if not cluster.host_of(end).answers:
                cluster.agenda.at(cluster.agenda.now_s, self._refused, (transfer, end))
                return
        network = cluster.breakable
        ends = (self._from, self._to)
        network.send(ends, self._traffic, transfer.size_bytes, self._arrived, self._failed)

    def _refused(self, transfer: _Transfer, end: str) -> None:
        if transfer is self._active:
            self._flush(f"{end} does not answer")

    def _arrived(self) -> None:
        arrived = self._active
        assert arrived is not None
        content = arrived.content
        if content is not None:
            for region in (content.source, content.target):
                if not cast(MortalRegion, region).registered:
                    self._sent(arrived.size_bytes, completed=False)
                    self._flush("its memory is gone")
                    return
        self._sent(arrived.size_bytes, completed=True)
        _QueuePair._arrived(self)

    def _failed(self, sent_bytes: float, stalled: bool) -> None:  # noqa: FBT001  the network calls it
        self._sent(sent_bytes, completed=False)
        if stalled:
            self._flush("nothing moved any more", Stalled)
        else:
            self._flush("its end is gone")

    def _sent(self, size_bytes: float, *, completed: bool) -> None:
        cluster = cast(MortalCluster, self._cluster)
        book = cluster.completed_bytes if completed else cluster.aborted_bytes
        book[self._from] = book.get(self._from, 0.0) + size_bytes

    def _flush(self, why: str, kind: type[Broken] = Broken) -> None:
        cluster = cast(MortalCluster, self._cluster)
        assert self._active is not None
        gone = [self._active, *self._waiting]
        self._active = None
        self._waiting.clear()
        error = f"{self._traffic} from {self._from} to {self._to}: {why}"
        for transfer in gone:
            if transfer.posting is not None:
                posting = cast(_Errand, transfer.posting)
                cluster.after_latency(posting.broke, kind(error))


class MortalCluster(VirtualCluster):
    """See `VirtualCluster`.

    Args:
        restart: a node begins anew, for a reason.

    Attributes:
        completed_bytes, aborted_bytes: what ends sent, of transfers that arrived and of others.
    """

    def __init__(
        self,
        plan: Plan,
        tasks: asyncio.TaskGroup,
        loop: VirtualTimeLoop,
        network: BreakableNetwork,
        restart: Callable[[str, str], None],
    ) -> None:
        VirtualCluster.__init__(self, plan, tasks, loop, network)
        self.breakable = network
        self.restart = restart
        self.hosts = {node.name: Host(node.name) for node in plan.fabric.nodes}
        self.completed_bytes: dict[str, float] = {}
        self.aborted_bytes: dict[str, float] = {}
        self.memory: dict[tuple[str, int], MortalRegion] = {}
        self._host_of = {
            end.name: self.hosts[nic.node] for nic in plan.fabric.nics for end in nic.ends
        }
        self._unsent: dict[tuple[str, str], deque[tuple[int, Message]]] = {}

    def host_of(self, end: str) -> Host:
        return self._host_of[end]

    def begin(self, node: str) -> MortalWorld:
        """The world of a node's next life."""
        host = self.hosts[node]
        if host.life:
            self._reset(host)  # what was posted for an earlier life
        host.life += 1
        host.alive = True
        host.paused = False
        return MortalWorld(self, host)

    def kill(self, node: str) -> None:
        """A program ends at once, and all it held is gone; peers' adapters are told, unless the
        machine is off."""
        host = self.hosts[node]
        host.die()
        for key in [key for key in self.memory if key[0] == node]:
            self.memory.pop(key).registered = False
        for task in list(host.tasks):
            task.cancel()
        host.tasks.clear()
        if host.powered:
            self._reset(host)

    def _reset(self, host: Host) -> None:
        """Connections with a node end, and with them all that is under way."""
        ends = [end for end, there in self._host_of.items() if there is host]
        self.breakable.abandon(frozenset(ends))

    def carry(self, source: str, target: str, message: Message) -> None:
        """A message goes its way, or waits for one behind those that wait before it."""
        pair = (source, target)
        life = self.hosts[target].life
        if pair in self._unsent or not self._joined(source, target):
            self._unsent.setdefault(pair, deque()).append((life, message))
        else:
            self.after_latency(self._deliver, target, life, message)

    def send_waiting(self) -> None:
        """Messages that have a way again go it."""
        for pair in [pair for pair in self._unsent if self._joined(*pair)]:
            for life, message in self._unsent.pop(pair):
                self.after_latency(self._deliver, pair[1], life, message)

    def post(self, transfers: list[_Transfer]) -> asyncio.Future[None]:
        last = {transfer.pair: transfer for transfer in transfers}
        completion: asyncio.Future[None] = asyncio.Future()
        errand = _Errand(completion, len(last))
        for transfer in last.values():
            transfer.posting = errand
        self._postings.after(_begin_all, (transfers,))
        return completion

    def pair(self, source_end: str, target_end: str, traffic: TrafficClass) -> _QueuePair:
        key = (source_end, target_end, traffic)
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = _MortalPair(self, *key)
        return pair

    def _joined(self, source: str, target: str) -> bool:
        if source == target:
            return True
        way = self.breakable.way(mgmt_end(source), mgmt_end(target), "control")
        return way is not None

    def _deliver(self, target: str, life: int, message: Message) -> None:
        host = self.hosts[target]
        host.tell(life, self._handle, (host, message))

    def _handle(self, host: Host, message: Message) -> None:
        assert host.handle is not None
        host.handle(message)


def _begin_all(transfers: list[_Transfer]) -> None:
    for transfer in transfers:
        transfer.pair.post(transfer)


class MortalClock(VirtualClock):
    """A node's clock: it does not ring while the node pauses, nor in another life."""

    def __init__(self, world: MortalWorld, cluster: MortalCluster) -> None:
        VirtualClock.__init__(self, cluster.agenda)
        self._world = world

    @property
    def stood_s(self) -> float:
        return self._world.stood_s

    def sleep_until(self, deadline_s: float) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.Future()
        if deadline_s <= self._agenda.now_s:
            future.set_result(None)
        else:
            self._agenda.at(deadline_s, self._world.hear, (_ring, (future,)))
        return future


def _ring(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class MortalWorld(VirtualWorld):
    """One life of a node; of a life that is over nothing goes out any more."""

    def __init__(self, cluster: MortalCluster, host: Host) -> None:
        VirtualWorld.__init__(self, cluster, host.node)
        self.life = host.life
        self.stats = host.stats
        self.clock = MortalClock(self, cluster)
        self._mortal = cluster
        self._host = host
        self._keys = 0

    @property
    def over(self) -> bool:
        return not self._host.alive or self._host.life != self.life

    @property
    def stood_s(self) -> float:
        return self._host.stood_s

    def restart(self, reason: str) -> None:
        self._mortal.agenda.at(
            self._mortal.agenda.now_s, self.hear, (self._mortal.restart, (self.node, reason))
        )

    def hear(self, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        """What comes to this life."""
        self._host.tell(self.life, callback, arguments)

    def send(self, to: str, message: Message) -> None:
        if not self.over:
            self._mortal.carry(self.node, to, message)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        name = type(coroutine).__qualname__
        if isinstance(coroutine, CoroutineType):
            name = coroutine.__qualname__
        task = asyncio.Task(coroutine, loop=self._mortal.loop, name=f"{self.node} {name}")
        if self.over:
            task.cancel()
        self._host.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def allocate(self, rows: int) -> Region:
        self._keys += 1
        key = (self.life << LIFE_SHIFT) + self._keys
        region = MortalRegion(key, rows, self._mortal.plan.layout.groups)
        if not self.over:
            self._mortal.memory[self.node, key] = region
        return region

    def free(self, region: Region) -> None:
        cast(MortalRegion, region).registered = False
        self._mortal.memory.pop((self.node, region.key), None)

    def write(self, end: str, moves: Sequence[Move]) -> asyncio.Future[None]:
        return self._moved(end, moves, self._mortal.outward)

    def read(self, end: str, moves: Sequence[Move]) -> asyncio.Future[None]:
        return self._moved(end, moves, self._mortal.inward)

    def _moved(
        self,
        end: str,
        moves: Sequence[Move],
        way: Callable[[str, Move, IdentityRegion], _Transfer],
    ) -> asyncio.Future[None]:
        transfers = []
        for move in moves:
            there = self._at(move.peer)
            if there is None:
                return self._refused(end, move)
            transfers.append(way(end, move, there))
        return self._told(self._mortal.post(transfers))

    def burst(
        self, size_bytes: float, end: str, peer_end: str, traffic: TrafficClass
    ) -> asyncio.Future[None]:
        pair = self._mortal.pair(end, peer_end, traffic)
        return self._told(self._mortal.post([_Transfer(pair, size_bytes, None)]))

    def _at(self, peer: Remote) -> MortalRegion | None:
        return self._mortal.memory.get((self._mortal.host_of(peer.end).node, peer.key))

    def _refused(self, end: str, move: Move) -> asyncio.Future[None]:
        refused: asyncio.Future[None] = asyncio.Future()
        error = Broken(f"{move.traffic} between {end} and {move.peer.end}: its memory is gone")
        if self._mortal.host_of(move.peer.end).powered:
            self._mortal.after_latency(_fail, refused, error)
        else:
            agenda = self._mortal.agenda
            silent_s = self._mortal.breakable.patience_s
            agenda.at(agenda.now_s + silent_s, _fail, (refused, error))
        return self._told(refused)

    def _told(self, completion: asyncio.Future[None]) -> asyncio.Future[None]:
        """What the node is told of a completion, when it hears."""
        told: asyncio.Future[None] = asyncio.Future()

        def ended(_: asyncio.Future[None]) -> None:
            error = completion.exception()
            self.hear(settle, (told, error))

        completion.add_done_callback(ended)
        return told

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._host.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self.over:
            self._mortal.failed = self._mortal.failed or self.node
            fail(self._mortal.tasks, error)


def _fail(future: asyncio.Future[None], error: Broken) -> None:
    future.set_exception(error)
