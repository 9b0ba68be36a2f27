"""Claims: one-sided verbs over real TCP sockets on the loopback interface."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from unittest.mock import patch

import pytest

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Span
from nodes.worlds.sockets.byte_region import ByteRegion
from nodes.worlds.sockets.namespaces import tcp_socket
from nodes.worlds.sockets.queue_pair import _BURST, _HEADER, QueuePair, Work
from plan.deployment import BlockLayout
from plan.errors import Broken

LAYOUT = BlockLayout(tokens=64, groups=3, wire_bytes=1 << 10)
ROWS = 40
BLOCKS = [Piece(0, ROWS, 5, 100)]
TIMEOUT_S = 10
"""A verb that hangs fails its test."""
held_bytes = 0


@pytest.fixture(autouse=True, params=[0, 20_000, 1 << 20], ids=lambda held: f"{held} held")
def _held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All holds however much may arrive before a node is woken."""
    monkeypatch.setattr(sys.modules[__name__], "held_bytes", request.param)


class Peer:
    """One end of a connection: its queue pair and its registered memory."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.regions: dict[int, ByteRegion] = {}
        loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[OSError] = loop.create_future()
        self.pair = QueuePair(loop, sock, self.regions, held_bytes, None)
        self.pair.failed = self._fail

    def _fail(self, error: OSError) -> None:
        assert not self.broken.done()  # told once
        self.broken.set_result(error)

    def memory(self, key: int, rows: int = ROWS, layout: BlockLayout = LAYOUT) -> ByteRegion:
        region = self.regions[key] = ByteRegion(key, rows, layout)
        return region

    def filled(self, key: int) -> ByteRegion:
        region = self.memory(key)
        region.fill(BLOCKS, None)
        return region


def connected(test: Callable[[Peer, Peer], Awaitable[None]], patience_s: float = TIMEOUT_S) -> None:
    """Run a test with two connected peers, 127.0.0.2 to 127.0.0.3."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with tcp_socket(0, patience_s) as listener:
            listener.bind(("127.0.0.3", 0))
            listener.listen()
            here = tcp_socket(0, patience_s)
            here.bind(("127.0.0.2", 0))
            await loop.sock_connect(here, listener.getsockname())
            there, _ = await loop.sock_accept(listener)
        one, two = Peer(here), Peer(there)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await test(one, two)
        finally:
            one.pair.close()
            two.pair.close()

    asyncio.run(main())


spans = pytest.mark.parametrize("group", [None, 0, 2], ids=["full blocks", "group 0", "group 2"])


@spans
def test_a_write_puts_a_span_into_the_peer_s_memory(group: int | None) -> None:
    async def test(one: Peer, two: Peer) -> None:
        source, target = one.filled(1), two.memory(9)
        await one.pair.write([Work(source, Span(3, 8, group), 9, 3)])
        assert target.corrupt([Piece(3, 5, 5, 103)], group) == 0
        assert target.corrupt([Piece(2, 1, 5, 102)], group) > 0  # and nothing beside it

    connected(test)


@spans
def test_a_read_brings_a_span_from_the_peer_s_memory(group: int | None) -> None:
    async def test(one: Peer, two: Peer) -> None:
        two.filled(9)
        target = one.memory(1)
        await one.pair.read([Work(target, Span(3, 8, group), 9, 3)])
        assert target.corrupt([Piece(3, 5, 5, 103)], group) == 0
        assert target.corrupt([Piece(2, 1, 5, 102)], group) > 0

    connected(test)


@spans
def test_rows_can_go_to_other_rows(group: int | None) -> None:
    async def test(one: Peer, two: Peer) -> None:
        source, target = one.filled(1), two.memory(9)
        await one.pair.write([Work(source, Span(10, 12, group), 9, 0)])
        assert target.corrupt([Piece(0, 2, 5, 110)], group) == 0
        back = one.memory(2)
        await one.pair.read([Work(back, Span(30, 32, group), 9, 0)])
        assert back.corrupt([Piece(30, 2, 5, 110)], group) == 0

    connected(test)


@pytest.mark.parametrize("verb", ["read", "write"])
def test_many_spans_are_posted_and_completed_at_once(verb: str) -> None:
    """Columns of two regions to one and the same peer."""

    async def test(one: Peer, two: Peer) -> None:
        mine, theirs = (two, one) if verb == "read" else (one, two)
        for key in (1, 2):
            mine.filled(key)
            theirs.memory(key)
        works = [
            Work(one.regions[key], Span(0, ROWS, group), key, 0)
            for group in range(LAYOUT.groups)
            for key in (1, 2)
        ]
        await (one.pair.read(works) if verb == "read" else one.pair.write(works))
        assert [theirs.regions[key].corrupt(BLOCKS, None) for key in (1, 2)] == [0, 0]

    connected(test)


def test_of_writes_posted_together_the_last_alone_is_acknowledged() -> None:
    async def test(one: Peer, two: Peer) -> None:
        source = one.filled(1)
        two.memory(9)
        with patch.object(two.pair, "_send", wraps=two.pair._send) as answer:
            await one.pair.write([Work(source, Span(0, ROWS, g), 9, 0) for g in range(3)])
        assert answer.call_count == 1

    connected(test)


def test_a_node_sleeps_until_so_much_is_there_as_it_may_wait_for_and_is_certain_to_come() -> None:
    """Of the first of three bursts one byte is still to come, and the others right behind it."""
    sizes = [12_000, 30_000, 4_000]
    behind = [sum(sizes[i:]) + _HEADER.size * len(sizes[i:]) for i in (1, 2, 3)]

    async def test(one: Peer, two: Peer) -> None:
        sent = [
            _HEADER.pack(_BURST, number, 0, 0, 0, -1, size, after) + bytes(size)
            for number, (size, after) in enumerate(zip(sizes, behind, strict=True))
        ]
        with patch.object(two.pair, "_send") as answer:
            one.sock.send(sent[0][:-1])
            await until(lambda: low_water(two.sock) == max(1, min(held_bytes, 1 + behind[0])))
            one.sock.send(sent[0][-1:] + sent[1] + sent[2])
            await until(lambda: answer.call_count == len(sizes))
            assert low_water(two.sock) == 1

    connected(test)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  nothing tells of it
        await asyncio.sleep(0)


def low_water(sock: socket.socket) -> int:
    """Of what has arrived, so much wakes the node."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


def test_a_burst_is_acknowledged_when_all_of_it_has_arrived() -> None:
    async def test(one: Peer, two: Peer) -> None:
        target = two.memory(9)
        burst = one.pair.burst(1 << 20)
        write = one.pair.write([Work(one.filled(1), Span(0, ROWS), 9, 0)])
        await burst
        await write
        assert target.corrupt(BLOCKS, None) == 0

    connected(test)


def test_many_verbs_of_both_sides_at_once_all_complete() -> None:
    """Each row of each group travels on its own, both ways, by write and by read."""

    async def test(one: Peer, two: Peer) -> None:
        for peer, other in ((one, two), (two, one)):
            peer.filled(1)
            other.memory(2)
            peer.memory(3)
        verbs = []
        for row in range(ROWS):
            for group in range(LAYOUT.groups):
                span = Span(row, row + 1, group)
                for peer in (one, two):
                    verbs.append(peer.pair.write([Work(peer.regions[1], span, 2, row)]))
                    verbs.append(peer.pair.read([Work(peer.regions[3], span, 1, row)]))
        await asyncio.gather(*verbs)
        for peer in (one, two):
            assert peer.regions[2].corrupt(BLOCKS, None) == 0
            assert peer.regions[3].corrupt(BLOCKS, None) == 0

    connected(test)


def test_more_than_all_socket_buffers_goes_both_ways_at_once() -> None:
    """24 MB each way: neither side stops reading while it cannot write."""
    large = BlockLayout(tokens=64, groups=1, wire_bytes=8 << 20)

    async def test(one: Peer, two: Peer) -> None:
        blocks = [Piece(0, 3, 1, 0)]
        for peer in (one, two):
            peer.memory(1, 3, large).fill(blocks, None)
            peer.memory(2, 3, large)
        await asyncio.gather(
            *(peer.pair.write([Work(peer.regions[1], Span(0, 3), 2, 0)]) for peer in (one, two))
        )
        assert [peer.regions[2].corrupt(blocks, None) for peer in (one, two)] == [0, 0]

    connected(test)


def _note(order: list[int], number: int, _: asyncio.Future[None]) -> None:
    order.append(number)


def test_verbs_complete_in_the_order_in_which_they_were_posted() -> None:
    async def test(one: Peer, two: Peer) -> None:
        source, target = one.filled(1), one.memory(2)
        two.memory(9)
        order: list[int] = []
        for number in range(60):
            rows = Span(0, 1 + 37 * number % ROWS, (None, 0, 1)[number % 3])
            if number % 2:
                verb = one.pair.read([Work(target, rows, 9, 0)])
            else:
                verb = one.pair.write([Work(source, rows, 9, 0)])
            verb.add_done_callback(partial(_note, order, number))
        await one.pair.write([Work(source, Span(0, 1), 9, 0)])
        assert order == list(range(60))

    connected(test)


def test_a_read_sees_what_was_written_before_it() -> None:
    async def test(one: Peer, two: Peer) -> None:
        source, back = one.filled(1), one.memory(2)
        two.memory(9)
        one.pair.write([Work(source, Span(0, ROWS), 9, 0)])
        await one.pair.read([Work(back, Span(0, ROWS), 9, 0)])
        assert back.corrupt(BLOCKS, None) == 0

    connected(test)


def test_a_dead_peer_is_an_error() -> None:
    async def test(one: Peer, two: Peer) -> None:
        two.pair.close()
        assert isinstance(await one.broken, ConnectionResetError)

    connected(test)


def test_a_peer_that_dies_halfway_through_a_transfer_is_one_error() -> None:
    """It is told once, whatever is still posted afterwards."""
    large = BlockLayout(tokens=64, groups=1, wire_bytes=8 << 20)

    async def test(one: Peer, two: Peer) -> None:
        source = one.memory(1, 3, large)
        two.memory(9, 3, large)
        asyncio.get_running_loop().remove_reader(two.sock)  # reads no more
        verb = one.pair.write([Work(source, Span(0, 3), 9, 0)])
        two.sock.close()
        await one.broken
        one.pair.write([Work(source, Span(0, 3), 9, 0)])
        await asyncio.sleep(0)
        assert not verb.done()

    connected(test)


def test_on_an_abandoned_connection_all_fails_at_once() -> None:
    async def test(one: Peer, two: Peer) -> None:
        source = one.filled(1)
        two.memory(9)
        work = [Work(source, Span(0, ROWS), 9, 0)]
        before = one.pair.write(work)
        one.pair.close()
        one.pair.abandon(Broken("gone"))
        for posted in (before, one.pair.write(work)):
            with pytest.raises(Broken, match="gone"):
                await posted
        assert one.pair.under_way == 0

    connected(test)


@pytest.mark.parametrize("group", [None, 1], ids=["full blocks", "group 1"])
@pytest.mark.parametrize("verb", ["read", "write"])
@pytest.mark.parametrize(
    ("key", "row", "complaint"),
    [(8, 0, "region 8, which is not registered"), (9, ROWS - 4, "region 9: 40 rows")],
    ids=["unregistered key", "rows outside the region"],
)
def test_a_wrong_address_is_an_error_at_both_ends(
    key: int, row: int, complaint: str, verb: str, group: int | None
) -> None:
    async def test(one: Peer, two: Peer) -> None:
        two.memory(9)
        memory = one.filled(1)
        if verb == "read":
            completion = one.pair.read([Work(memory, Span(0, 5, group), key, row)])
        else:
            completion = one.pair.write([Work(memory, Span(0, 5, group), key, row)])
        assert complaint in str(await two.broken)
        await one.broken
        assert not completion.done()

    connected(test)


def test_a_peer_that_takes_nothing_in_any_more_breaks_the_connection() -> None:
    async def test(one: Peer, two: Peer) -> None:
        asyncio.get_running_loop().remove_reader(two.sock)
        one.pair.burst(64 << 20)  # more than the sockets' buffers hold
        assert (await one.broken).errno == errno.ETIMEDOUT

    connected(test, patience_s=0.2)


def test_an_idle_connection_outlives_its_patience() -> None:
    async def test(one: Peer, two: Peer) -> None:
        done, _ = await asyncio.wait({one.broken, two.broken}, timeout=0.5)
        assert not done
        source, target = one.filled(1), two.memory(2)
        await one.pair.write([Work(source, Span(0, ROWS), 2, 0)])
        assert target.corrupt(BLOCKS, None) == 0

    connected(test, patience_s=0.1)


def test_what_is_accepted_is_as_patient_as_what_connects() -> None:
    async def test(one: Peer, two: Peer) -> None:
        for peer in (one, two):
            assert peer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500

    connected(test, patience_s=1.5)
