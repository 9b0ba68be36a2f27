"""One-sided verbs over one TCP connection: WRITE, READ and their completions.

A queue pair joins two ends in one traffic class. Every frame is a fixed header, then the
bytes of a span of Layer Blocks. What is sent goes straight out of the source region, what
arrives straight into the target region; the peer's node code takes no part. Of what is
posted together the frames go out as one gather list, and the last alone is acknowledged
(RDMA's selective signalling): the others have landed before it.

Every header tells how many bytes follow its frame for certain, since they go out with it. So the
other end may sleep until some of them have arrived, too, and is woken less often.

Whoever is woken takes in all that has arrived with one call, a payload that is under way where
it belongs and what follows it into a buffer that all queue pairs of the process share, and
answers it with one call.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from nodes.protocol.world import Span
from nodes.worlds.failure import settle
from nodes.worlds.sockets.byte_region import ByteRegion

_HEADER = struct.Struct("<IIIIIiII")
"""Op, sequence, key, row, rows, group, bytes, and bytes that are certain to follow."""
_WRITE, _ACK, _READ, _DATA, _BURST, _UNSIGNALLED_WRITE = range(1, 7)
_ALL_GROUPS = -1
_IOVECS = os.sysconf("SC_IOV_MAX")
_LOW_WATER = 64 << 10
_WORTH_WAITING = 9000
"""Bytes still to come of a payload that come in more than one frame."""
_ARRIVED = memoryview(bytearray(256 << 10))
"""What has arrived, until it is placed before the next call: no two queue pairs need it at once."""


PassDram = Callable[[int, Callable[[], None]], None]


_NOWHERE = Span(0, 0)


class Work(NamedTuple):
    """A span of a region of this node, and where it is at the peer: region `key`, row `row` on."""

    region: ByteRegion
    span: Span
    key: int
    row: int


class Landing(NamedTuple):
    """Where a payload goes: the rows of a span in a region of this node."""

    region: ByteRegion
    span: Span


class _Payload:
    """A payload of which a part is still to come.

    Attributes:
        landing: where it goes; None: nowhere.
        staged: where it is gathered, if it is to be scattered then.
        missing: the part of its memory that is not filled yet.
    """

    def __init__(
        self, op: int, sequence: int, landing: Landing | None, arrived: memoryview, size: int
    ) -> None:
        self.op = op
        self.sequence = sequence
        self.landing = landing
        self.size = size
        in_place = None if landing is None else landing.region.landing(landing.span)
        self.staged = memoryview(bytearray(size)) if in_place is None else None
        memory = in_place or self.staged
        assert memory is not None
        memory[: len(arrived)] = arrived
        self.missing = memory[len(arrived) :]


class QueuePair:
    """Verbs with one peer end.

    Args:
        sock: connected, non-blocking.
        regions: this node's registered memory by key.
        held_bytes: so many may arrive before the node is woken for any of them, if it is certain
            that they come.
        pass_dram: where this end is in DRAM, what makes a number of wire bytes wait for the
            node's DRAM bus before something is done.

    Attributes:
        failed: called with the exception that broke the connection.
    """

    failed: Callable[[OSError], None]

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        regions: Mapping[int, ByteRegion],
        held_bytes: int,
        pass_dram: PassDram | None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._regions = regions
        self._held_bytes = held_bytes
        self._pass_dram = pass_dram
        self._sequence = 0
        self._completions: dict[int, asyncio.Future[None]] = {}
        self._reads: dict[int, Landing] = {}
        self._posted: list[tuple[int, int, int, Span, bytes | memoryview]] = []
        self._posted_bytes = 0
        self._outgoing: list[bytes | memoryview] = []
        self._outgoing_bytes = 0
        self._writing = False
        self._flushes = False
        self._cut_header = b""
        self._under_way: _Payload | None = None
        self._certain_bytes = 0
        self._low_water = 1
        self._abandoned: Exception | None = None
        loop.add_reader(sock, self._readable)

    def write(self, works: Sequence[Work]) -> asyncio.Future[None]:
        """Write spans of this node's regions to the peer's; done when all have landed."""
        last = len(works) - 1
        for i, (region, span, key, row) in enumerate(works):
            op, sequence = (_UNSIGNALLED_WRITE, 0) if i < last else (_WRITE, self._number())
            self._send_passed(op, sequence, key, _moved(span, row), region.payload(span))
        return self._completion()

    def read(self, works: Sequence[Work]) -> asyncio.Future[None]:
        """Read spans of the peer's regions into this node's; done when all have landed."""
        for region, span, key, row in works:
            sequence = self._number()
            self._reads[sequence] = Landing(region, span)
            self._send(_READ, sequence, key, _moved(span, row))
        return self._completion()

    def burst(self, size: int) -> asyncio.Future[None]:
        """Write `size` bytes that the peer drops when they have all arrived."""
        self._send_passed(_BURST, self._number(), 0, _NOWHERE, bytes(size))
        return self._completion()

    @property
    def under_way(self) -> int:
        """Postings that are not complete."""
        return len(self._completions)

    def _number(self) -> int:
        self._sequence += 1
        return self._sequence

    def _completion(self) -> asyncio.Future[None]:
        """Of what was numbered last."""
        completion: asyncio.Future[None] = self._loop.create_future()
        if self._abandoned is None:
            self._completions[self._sequence] = completion
        else:
            settle(completion, self._abandoned)
        return completion

    def _send_passed(
        self, op: int, sequence: int, key: int, span: Span, payload: bytes | memoryview
    ) -> None:
        """Send a payload; out of DRAM when it has its turn there."""
        if self._pass_dram is None:
            self._send(op, sequence, key, span, payload)
        else:
            then = partial(self._send, op, sequence, key, span, payload)
            self._pass_dram(len(payload), then)

    def _send(
        self, op: int, sequence: int, key: int, span: Span, payload: bytes | memoryview = b""
    ) -> None:
        self._posted.append((op, sequence, key, span, payload))
        self._posted_bytes += _HEADER.size + len(payload)
        if not (self._flushes or self._writing):
            # with all that this turn of the loop still sends
            self._flushes = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushes = False
        if self._posted and not self._writing and self._sock.fileno() >= 0:
            self._write_out()

    def _pack(self) -> None:
        """Put all that was posted behind what is still to go out."""
        outgoing, behind = self._outgoing, self._posted_bytes
        self._outgoing_bytes += behind
        for op, sequence, key, span, payload in self._posted:
            lo, rows, group = span.lo, span.hi - span.lo, span.group
            size = len(payload)
            behind -= _HEADER.size + size
            number = _ALL_GROUPS if group is None else group
            certain = min(behind, _LOW_WATER)
            outgoing.append(_HEADER.pack(op, sequence, key, lo, rows, number, size, certain))
            if size:
                outgoing.append(payload)
        self._posted.clear()
        self._posted_bytes = 0

    def _write_out(self) -> None:
        self._pack()
        try:
            while self._outgoing_bytes:
                outgoing = self._outgoing
                many = len(outgoing) > _IOVECS
                sent = self._sock.sendmsg(outgoing[:_IOVECS] if many else outgoing)
                self._outgoing_bytes -= sent
                if not self._outgoing_bytes:
                    outgoing.clear()
                    break
                self._outgoing = _rest(outgoing, sent)
                if not many:  # the socket's buffer is full
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            self._break(error)
            return
        writing = self._outgoing_bytes > 0
        if writing != self._writing:
            self._writing = writing
            if writing:
                self._loop.add_writer(self._sock, self._write_out)
            else:
                self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        self._flushes = True  # at the end
        try:
            while self._receive():
                pass
        except BlockingIOError:
            pass
        except OSError as error:
            self._break(error)
            return
        self._flush()
        self._wait_for()

    def _receive(self) -> bool:
        """Take in what has arrived; False if there was no more."""
        payload, cut = self._under_way, len(self._cut_header)
        if payload is not None:
            missing = payload.missing
            got = self._sock.recvmsg_into([missing, _ARRIVED])[0]
            room = len(missing) + len(_ARRIVED)
            begin, end = 0, got - len(missing)
            if 0 < got < len(missing):
                payload.missing = missing[got:]
                self._certain_bytes -= got
                return False
        else:
            _ARRIVED[:cut] = self._cut_header
            got = self._sock.recv_into(_ARRIVED[cut:])
            room = len(_ARRIVED) - cut
            begin, end = 0, cut + got
        if got == 0:
            raise ConnectionResetError("the peer closed it")
        self._certain_bytes = max(0, self._certain_bytes - got)
        if payload is not None:
            self._under_way = None
            self._placed(payload)
        while end - begin >= _HEADER.size:
            frame = _HEADER.unpack_from(_ARRIVED, begin)
            begin += _HEADER.size
            begin += self._frame(frame, _ARRIVED[begin:end])
        self._cut_header = bytes(_ARRIVED[begin:end])
        return got == room

    def _frame(self, frame: tuple[int, ...], arrived: memoryview) -> int:
        """Take in a frame, of whose payload so much has arrived; returns how much it was."""
        op, sequence, key, row, rows, group, size, behind = frame
        self._certain_bytes = max(self._certain_bytes, size + behind - len(arrived))
        if op == _ACK:
            self._complete(sequence)
            return 0
        span = Span(row, row + rows, None if group == _ALL_GROUPS else group)
        if op == _READ:
            payload = self._region(key, span).payload(span)
            self._send_passed(_DATA, sequence, 0, span, payload)
            return 0
        landing = None
        if op == _DATA:
            landing = self._reads.pop(sequence)
        elif op != _BURST:
            landing = Landing(self._region(key, span), span)
        if landing is not None and (owed := landing.region.size(landing.span)) != size:
            raise ConnectionError(f"{size} bytes came for {owed} of {landing.span}")
        if size <= len(arrived):
            if landing is not None:
                landing.region.place(landing.span, arrived[:size])
            self._arrived(op, sequence, size)
            return size
        self._under_way = _Payload(op, sequence, landing, arrived, size)
        return len(arrived)

    def _placed(self, payload: _Payload) -> None:
        """A payload that was under way is complete."""
        if payload.staged is not None and payload.landing is not None:
            payload.landing.region.place(payload.landing.span, payload.staged)
        self._arrived(payload.op, payload.sequence, payload.size)

    def _wait_for(self) -> None:
        """Be woken for a good part of what is certain to come, not for every packet."""
        missing = 0 if self._under_way is None else len(self._under_way.missing)
        most = min(max(missing, self._held_bytes), self._certain_bytes, _LOW_WATER)
        if most <= _WORTH_WAITING:
            missing = most = 1
        low_water = self._low_water
        # nearly as good is good enough: telling the kernel costs a call
        if low_water > most or low_water < min(missing, most) or 2 * low_water < most:
            self._low_water = most
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, most)

    def _arrived(self, op: int, sequence: int, size: int) -> None:
        if self._pass_dram is not None:
            self._pass_dram(size, partial(self._finish, op, sequence))
        else:
            self._finish(op, sequence)

    def _finish(self, op: int, sequence: int) -> None:
        if op in (_WRITE, _BURST):
            self._send(_ACK, sequence, 0, _NOWHERE)
        elif op == _DATA:
            self._complete(sequence)

    def _complete(self, sequence: int) -> None:
        completion = self._completions.pop(sequence, None)
        if completion is not None and not completion.done():
            completion.set_result(None)

    def _region(self, key: int, span: Span) -> ByteRegion:
        region = self._regions.get(key)
        if region is None:
            raise ConnectionError(f"the peer named region {key}, which is not registered here")
        if span.hi > region.rows:
            raise ConnectionError(f"the peer named {span} of region {key}: {region.rows} rows")
        return region

    def close(self) -> None:
        """Drop the connection; what is under way stays without completion. Idempotent."""
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock)
        if self._writing:
            self._loop.remove_writer(self._sock)
        self._sock.close()

    def abandon(self, error: Exception) -> None:
        """What is under way on a closed connection fails, and what is posted there later."""
        self._abandoned = error
        abandoned, self._completions = self._completions, {}
        for completion in abandoned.values():
            settle(completion, error)

    def _break(self, error: OSError) -> None:
        if self._sock.fileno() < 0:  # an answer could not be sent, then nothing be received
            return
        self.close()
        self.failed(error)


def _moved(span: Span, row: int) -> Span:
    """The rows that correspond to a span from another row on."""
    lo, hi, group = span.lo, span.hi, span.group
    return Span(row, row + hi - lo, group)


def _rest(buffers: list[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    """What is left when so many bytes of the first ones are gone."""
    for i, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [memoryview(buffer)[sent:], *buffers[i + 1 :]]
        sent -= len(buffer)
    return []
