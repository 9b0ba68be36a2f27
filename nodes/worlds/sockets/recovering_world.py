"""The world of real sockets where peers die, begin anew, and connections break.

A broken connection fails what was posted on it, and the next posting opens another one. Keys of
regions carry the life of the node's program, so that what was meant for one life finds no memory
in another. Messages to a peer that is not there are lost; signs of life and leases are what tells.
A peer that loses its power ends no connection: of one to its earlier life this side would learn
only when a message has got lost there. So with a peer's new life all is connected anew: its first
word on a connection is which life it is, and who lives is told to all.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from nodes.protocol.messages import Greeting, Message
from nodes.worlds.failure import fail, settle
from nodes.worlds.sockets.queue_pair import QueuePair
from nodes.worlds.sockets.world import Pair, SocketWorld
from plan.errors import BeginAnew, Broken, PeerLost, Stalled
from plan.fabric import End
from plan.faults import Recovery
from plan.lanes import TrafficClass
from plan.model import Plan
from plan.names import mgmt_end

LIFE_SHIFT = 24
"""A region's key, of 32 bits, has its node's life above so many."""
LIVES = 1 << (32 - LIFE_SHIFT)

MESSAGES = 4
"""A connection for messages is waited for so many times as long as in a run without faults."""

_T = TypeVar("_T")


class RecoveringWorld(SocketWorld):
    """See the module and `SocketWorld`.

    Args:
        life: of the node's program, from 1.
    """

    def __init__(
        self,
        plan: Plan,
        recovery: Recovery,
        node: str,
        namespaces: Mapping[str, int],
        tasks: asyncio.TaskGroup,
        life: int,
    ) -> None:
        SocketWorld.__init__(self, plan, node, namespaces, tasks)
        self.life = life
        self.clock.look_for_stops()
        self._silence_s = plan.scale.wall_s(recovery.lease_s)
        self._lives: dict[str, int] = {}

    def restart(self, reason: str) -> None:
        fail(self._tasks, BeginAnew(reason))

    async def open(self, handle: Callable[[Message], None]) -> None:
        def heard(message: Message) -> None:
            if isinstance(message, Greeting):
                self.living({message.node: message.life})
            else:
                handle(message)

        await SocketWorld.open(self, heard)

    def send(self, to: str, message: Message) -> None:
        if to not in self._peers and to not in self._unsent:
            SocketWorld.send(self, to, Greeting(self.node, self.life))
        SocketWorld.send(self, to, message)

    def living(self, lives: Mapping[str, int]) -> None:
        for node, life in lives.items():
            # a later life has met nobody before: whoever it hears of first is who it has met
            known = self._lives.get(node, 1 if self.life == 1 else life)
            if life > known and node != self.node:
                self._part_from(node, life)
            self._lives[node] = max(known, life)

    def _part_from(self, node: str, life: int) -> None:
        """Drop all connections to a node's earlier life, also those that are being opened."""
        if writer := self._peers.pop(node, None):
            writer.transport.abort()
        if self._unsent.pop(node, None) is not None:
            self._calling.pop(node).cancel()
        stale = [pair for pair in self._pairs if self._node_of[pair.remote] == node]
        for pair in stale:
            queue_pair = self._pairs.pop(pair)
            queue_pair.close()
            queue_pair.abandon(Broken(f"{pair}: life {life} of {node} has begun"))

    def _new_key(self) -> int:
        number = SocketWorld._new_key(self)
        if number >> LIFE_SHIFT:
            raise BeginAnew(f"{number} regions are more than a life can have")
        return (self.life % LIVES << LIFE_SHIFT) + number

    def _together(self, posted: Sequence[asyncio.Future[None]]) -> asyncio.Future[None]:
        """Done when all are, or have failed."""
        told: asyncio.Future[None] = self._loop.create_future()
        left = len(posted)

        def ended(_: asyncio.Future[None]) -> None:
            nonlocal left
            left -= 1
            if not left and not told.done():
                errors = (one.exception() for one in posted)
                settle(told, next((error for error in errors if error is not None), None))

        for one in posted:
            one.add_done_callback(ended)
        return told

    def _post(
        self, pair: Pair, verb: Callable[[QueuePair, _T], asyncio.Future[None]], what: _T
    ) -> asyncio.Future[None]:
        queue_pair = self._pairs.get(pair)
        if queue_pair is not None:
            return verb(queue_pair, what)
        told: asyncio.Future[None] = self._loop.create_future()
        self._tasks.create_task(self._post_later(pair, verb, what, told))
        return told

    async def _post_later(
        self,
        pair: Pair,
        verb: Callable[[QueuePair, _T], asyncio.Future[None]],
        what: _T,
        told: asyncio.Future[None],
    ) -> None:
        try:
            await self._post_first(pair, verb, what)
        except (Broken, PeerLost) as error:
            settle(told, error if isinstance(error, Broken) else Broken(str(error)))
        else:
            settle(told, None)

    def _opening(self, pair: Pair) -> asyncio.Task[QueuePair]:
        # outside the group of tasks, whose failure would be the run's
        return self._loop.create_task(self._open_pair(pair))

    async def _open_pair(self, pair: Pair) -> QueuePair:
        try:
            async with asyncio.timeout(self._silence_s):
                return await SocketWorld._open_pair(self, pair)
        except TimeoutError:
            raise Stalled(f"{pair}: nobody answers") from None
        finally:
            # whoever comes after this has a queue pair, or tries again
            self._connecting.pop(pair, None)

    def _pair_broke(self, pair: Pair, queue_pair: QueuePair, error: OSError) -> None:
        if self._pairs.get(pair) is queue_pair:
            del self._pairs[pair]
        kind = Stalled if error.errno == errno.ETIMEDOUT else Broken
        queue_pair.abandon(kind(str(self._error(pair, error))))

    def _hung_up(self, writer: asyncio.StreamWriter, pair: Pair, _error: OSError) -> None:
        writer.close()
        peer = self._node_of[pair.remote]
        if self._peers.get(peer) is writer:
            del self._peers[peer]

    async def _connect_peer(self, to: str) -> None:
        try:
            await SocketWorld._connect_peer(self, to)
        except PeerLost:
            self._unsent.pop(to, None)

    def _socket(self, end: End, traffic: TrafficClass) -> socket.socket:
        sock = SocketWorld._socket(self, end, traffic)
        # a peer that owes an answer and is silent for good is found out, too
        idle_s = max(1, round(self._patience_of(end) / 2))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        return sock

    def _patience_of(self, end: End) -> float:
        # messages wait for a path; a transfer that moves nothing for as long as a lease is broken
        at_data = end.name != mgmt_end(self.node)
        return self._silence_s if at_data else MESSAGES * self._patience_s
