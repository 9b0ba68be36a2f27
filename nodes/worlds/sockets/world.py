"""The world of the testbed: a dilated wall clock and real sockets in real namespaces."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast, get_args

import msgspec

from nodes.protocol.messages import Message
from nodes.protocol.world import Move, Region
from nodes.worlds.dram_bus import DramBus, dram_ends
from nodes.worlds.failure import fail, on_callback_error
from nodes.worlds.sockets.byte_region import ByteRegion
from nodes.worlds.sockets.namespaces import network_namespace, tcp_socket
from nodes.worlds.sockets.queue_pair import QueuePair, Work
from nodes.worlds.sockets.wall_clock import WallClock
from plan.errors import Broken, PeerLost, RunError
from plan.fabric import End
from plan.lanes import TrafficClass
from plan.model import Plan
from plan.names import mgmt_end
from plan.patience import unacknowledged_s
from plan.records import NodeStats

DATA_PORT = 7000
"""Queue pairs of the i-th traffic class meet at port DATA_PORT + i."""
MESSAGE_PORT = 7100

GRAIN_S = 200e-6
"""Wall seconds: an alarm is not set for a shorter wait on the DRAM bus. It would be later than that
itself, and what waits in all is the same: what passes too early still takes its time there."""

HELD_S = 500e-6
"""Wall seconds: what a NIC takes in by then may arrive before the node is woken for any of it, if
it is certain to come."""

_T = TypeVar("_T")
_CLASSES: tuple[TrafficClass, ...] = get_args(TrafficClass)


class Pair(NamedTuple):
    """Two ends and a class of traffic, which a queue pair joins."""

    local: str
    remote: str
    traffic: TrafficClass

    def __str__(self) -> str:
        return f"{self.traffic} {self.local}-{self.remote}"


class SocketWorld:
    """See `nodes.protocol.world.World`.

    Args:
        plan: addresses, DSCPs, block layout, scale.
        node: which node this process is.
        namespaces: Mininet host -> pid in its network namespace, for the ends that are not
            in the process's own (the GPUs' HBM ends).
        tasks: the process's task group.
    """

    def __init__(
        self, plan: Plan, node: str, namespaces: Mapping[str, int], tasks: asyncio.TaskGroup
    ) -> None:
        self.node = node
        self.life = 1
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._opened = ExitStack()
        self.clock = WallClock(plan.scale, self._loop)
        self._opened.callback(self.clock.close)
        self.stats = NodeStats(node=node)
        self._namespaces = namespaces
        self._patience_s = unacknowledged_s(plan.scale)
        self._tasks = tasks
        self._ends = plan.fabric.ends()
        self._end_at = {end.ip: name for name, end in self._ends.items()}
        self._node_of = {end.name: nic.node for nic in plan.fabric.nics for end in nic.ends}
        self._own = [end for nic in plan.fabric.nics if nic.node == node for end in nic.ends]
        self._rate_bps = {
            end.name: plan.scale.wire_bps(nic.rate_bps)
            for nic in plan.fabric.nics
            for end in nic.ends
        }
        self._dram_ends = dram_ends(plan.fabric)
        self._dram = DramBus(plan.dram_bytes_per_s)
        self._passing = 0
        self._grain_s = plan.scale.model_s(GRAIN_S)
        self._regions: dict[int, ByteRegion] = {}
        self._next_key = 0
        self._ending = False
        self._pairs: dict[Pair, QueuePair] = {}
        self._connecting: dict[Pair, asyncio.Task[QueuePair]] = {}
        self._peers: dict[str, asyncio.StreamWriter] = {}
        self._unsent: dict[str, list[bytes]] = {}
        self._calling: dict[str, asyncio.Task[None]] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
        self._handle: Callable[[Message], None] | None = None
        self._loop.set_exception_handler(on_callback_error(tasks))

    async def open(self, handle: Callable[[Message], None]) -> None:
        """Listen on all of the node's ends; `handle` gets every control message.

        Raises:
            RunError: a port is taken.
        """
        self._handle = handle
        for end in self._own:
            if end.name == mgmt_end(self.node):
                sock = self._bound(end, "control", MESSAGE_PORT)
                server = await asyncio.start_server(self._read_messages, sock=sock)
                self._opened.callback(server.close)
                continue
            for index, traffic in enumerate(_CLASSES):
                sock = self._bound(end, traffic, DATA_PORT + index)
                sock.listen(1024)
                self._loop.add_reader(sock, self._accept, sock, end.name, traffic)
                self._opened.callback(sock.close)
                self._opened.callback(self._loop.remove_reader, sock)

    def close(self) -> None:
        """Stop listening and drop all connections; the peers see them break. What of a peer
        is here already is handled no more."""
        self.expect_end()
        self._handle = lambda _: None
        self._opened.close()

    def send(self, to: str, message: Message) -> None:
        body = self._encoder.encode(message)
        frame = len(body).to_bytes(4, "little") + body
        peer = self._peers.get(to)
        if peer is not None:
            peer.write(frame)
        elif to in self._unsent:
            self._unsent[to].append(frame)
        else:
            self._unsent[to] = [frame]
            self._calling[to] = self.spawn(self._connect_peer(to))

    def restart(self, reason: str) -> None:
        fail(self._tasks, Broken(f"{self.node} has to begin anew: {reason}"))

    def living(self, lives: Mapping[str, int]) -> None:
        """Where nothing recovers, a life that ends is the run's end."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.create_task(coroutine)

    def allocate(self, rows: int) -> ByteRegion:
        region = ByteRegion(self._new_key(), rows, self._plan.layout)
        self._regions[region.key] = region
        return region

    def _new_key(self) -> int:
        self._next_key += 1
        return self._next_key

    def free(self, region: Region) -> None:
        del self._regions[region.key]

    def write(self, end: str, moves: Sequence[Move]) -> asyncio.Future[None]:
        return self._post_all(QueuePair.write, end, moves)

    def read(self, end: str, moves: Sequence[Move]) -> asyncio.Future[None]:
        return self._post_all(QueuePair.read, end, moves)

    def burst(
        self, size_bytes: float, end: str, peer_end: str, traffic: TrafficClass
    ) -> asyncio.Future[None]:
        size = max(1, round(self._plan.scale.wire_bytes(size_bytes)))
        return self._post(Pair(end, peer_end, traffic), QueuePair.burst, size)

    def verified(self, blocks: int, corrupt: int) -> None:
        self.stats.blocks_verified += blocks
        self.stats.blocks_corrupt += corrupt

    def under_way(self) -> dict[str, int]:
        """Transfers that were posted and are not complete, by their class and ends."""
        connecting = self._connecting.keys() - self._pairs.keys()
        posted = {pair: queue_pair.under_way for pair, queue_pair in self._pairs.items()}
        found = dict.fromkeys(connecting, 1) | posted
        return {str(pair): count for pair, count in sorted(found.items()) if count}

    def _post_all(
        self,
        verb: Callable[[QueuePair, Sequence[Work]], asyncio.Future[None]],
        end: str,
        moves: Sequence[Move],
    ) -> asyncio.Future[None]:
        """Post moves on their queue pairs; the future is done when all of them are."""
        posted = [self._post(pair, verb, works) for pair, works in by_pair(end, moves).items()]
        if len(posted) == 1:
            return posted[0]
        return self._together(posted)

    def _together(self, posted: Sequence[asyncio.Future[None]]) -> asyncio.Future[None]:
        """Done when all are."""
        return cast(asyncio.Future[None], asyncio.gather(*posted))

    def _post(
        self, pair: Pair, verb: Callable[[QueuePair, _T], asyncio.Future[None]], what: _T
    ) -> asyncio.Future[None]:
        queue_pair = self._pairs.get(pair)
        if queue_pair is not None:
            return verb(queue_pair, what)
        return self._tasks.create_task(self._post_first(pair, verb, what))

    async def _post_first(
        self, pair: Pair, verb: Callable[[QueuePair, _T], asyncio.Future[None]], what: _T
    ) -> None:
        await verb(await self._connect(pair), what)

    def _connect(self, pair: Pair) -> asyncio.Task[QueuePair]:
        task = self._connecting.get(pair)
        if task is None:
            task = self._connecting[pair] = self._opening(pair)
        return task

    def _opening(self, pair: Pair) -> asyncio.Task[QueuePair]:
        return self._tasks.create_task(self._open_pair(pair))

    async def _open_pair(self, pair: Pair) -> QueuePair:
        local = self._ends[pair.local]
        sock = self._bound(local, pair.traffic, 0)
        address = (self._ends[pair.remote].ip, DATA_PORT + _CLASSES.index(pair.traffic))
        with ExitStack() as unless_connected:
            unless_connected.callback(sock.close)
            try:
                await self._loop.sock_connect(sock, address)
            except OSError as error:
                raise self._error(pair, error) from error
            unless_connected.pop_all()
        queue_pair = self._queue_pair(sock, pair)
        self._pairs[pair] = queue_pair
        return queue_pair

    def _accept(self, listener: socket.socket, end: str, traffic: TrafficClass) -> None:
        sock, (ip, _) = listener.accept()
        sock.setblocking(False)
        self._queue_pair(sock, Pair(end, self._end_at[ip], traffic))

    def _queue_pair(self, sock: socket.socket, pair: Pair) -> QueuePair:
        in_dram = self._pass_dram if pair.local in self._dram_ends else None
        held_bytes = int(HELD_S * self._rate_bps[pair.local] / 8)
        queue_pair = QueuePair(self._loop, sock, self._regions, held_bytes, in_dram)
        queue_pair.failed = partial(self._pair_broke, pair, queue_pair)
        self._opened.callback(queue_pair.close)
        return queue_pair

    def _pair_broke(self, pair: Pair, _: QueuePair, error: OSError) -> None:
        self._broken(pair, error)

    def _pass_dram(self, wire_bytes: int, then: Callable[[], None]) -> None:
        """Do something when so many bytes have their turn on the node's DRAM bus, and after all
        that came before: an alarm may be late, and nothing may overtake what waits for it."""
        now = self.clock.now()
        turn_s = self._dram.reserve(self._plan.scale.model_bytes(wire_bytes), now)
        self.stats.dram_bytes = self._dram.moved_bytes
        if turn_s <= now + self._grain_s and not self._passing:
            then()
            return

        def pass_on(_: asyncio.Future[None]) -> None:
            self._passing -= 1
            then()

        self._passing += 1
        self.clock.sleep_until(turn_s).add_done_callback(pass_on)

    def _socket(self, end: End, traffic: TrafficClass) -> socket.socket:
        with network_namespace(self._namespaces.get(end.host)):
            return tcp_socket(self._plan.lanes.dscp[traffic], self._patience_of(end))

    def _patience_of(self, _: End) -> float:
        """Wall seconds without an answer after which a connection of an end is broken."""
        return self._patience_s

    def _bound(self, end: End, traffic: TrafficClass, port: int) -> socket.socket:
        sock = self._socket(end, traffic)
        try:
            sock.bind((end.ip, port))
        except OSError as error:
            where = f"{end.name} cannot listen at {end.ip}:{port}"
            raise RunError(f"{where}: {error.strerror}") from error
        return sock

    async def _connect_peer(self, to: str) -> None:
        pair = Pair(mgmt_end(self.node), mgmt_end(to), "control")
        sock = self._bound(self._ends[pair.local], "control", 0)
        with ExitStack() as unless_connected:
            unless_connected.callback(sock.close)
            try:
                await self._loop.sock_connect(sock, (self._ends[pair.remote].ip, MESSAGE_PORT))
            except OSError as error:
                raise self._error(pair, error) from error
            reader, writer = await asyncio.open_connection(sock=sock)
            unless_connected.pop_all()
        self.spawn(self._watch(reader, writer, pair))
        for frame in self._unsent.pop(to):
            writer.write(frame)
        self._opened.callback(writer.close)
        self._peers[to] = writer

    async def _watch(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: Pair
    ) -> None:
        """A peer says nothing on a connection that we opened, but it may end."""
        try:
            await reader.read()
            self._hung_up(writer, pair, _closed())
        except OSError as error:
            self._hung_up(writer, pair, error)

    async def _read_messages(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._opened.callback(writer.close)
        ip, _ = writer.get_extra_info("peername")
        pair = Pair(mgmt_end(self.node), self._end_at[ip], "control")
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "little")
                message = self._decoder.decode(await reader.readexactly(size))
                assert self._handle is not None
                self._handle(message)
        except asyncio.CancelledError:
            return  # the run is over; asyncio would log it as an error
        except asyncio.IncompleteReadError:
            self._hung_up(writer, pair, _closed())
        except OSError as error:
            self._hung_up(writer, pair, error)
        except Exception as error:
            fail(self._tasks, error)

    def expect_end(self) -> None:
        """The run is over: a connection that breaks from now on is no failure."""
        self._ending = True

    def _hung_up(self, _: asyncio.StreamWriter, pair: Pair, error: OSError) -> None:
        """A connection for messages ended, whoever had opened it."""
        self._broken(pair, error)

    def _broken(self, pair: Pair, error: OSError) -> None:
        if not self._ending:
            fail(self._tasks, self._error(pair, error))

    def _error(self, pair: Pair, error: OSError) -> PeerLost:
        """What broke, by its ends and class."""
        here, why = self._ends[pair.local], error.strerror or str(error)
        if error.errno == errno.ETIMEDOUT:
            why = f"what was sent again had no answer for {self._patience_of(here):g} s"
        broken = PeerLost(
            f"{pair.traffic} connection {pair.local}-{pair.remote} broke: {why}",
            self._node_of[pair.remote],
        )
        broken.__cause__ = error
        return broken


def by_pair(end: str, moves: Sequence[Move]) -> dict[Pair, list[Work]]:
    """Moves as work for queue pairs."""
    found: dict[Pair, list[Work]] = {}
    for move in moves:
        work = Work(cast(ByteRegion, move.region), move.span, move.peer.key, move.row)
        found.setdefault(Pair(end, move.peer.end, move.traffic), []).append(work)
    return found


def _closed() -> OSError:
    return ConnectionResetError("the peer closed it")
