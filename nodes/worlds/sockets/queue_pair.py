"""One-sided verbs over one TCP connection: WRITE, READ and their completions.

A queue pair joins two ends in one traffic class. Every frame is a fixed header, then the
bytes of a span of Layer Blocks. What is sent goes straight out of the source region, what
arrives straight into the target region; the peer's node code takes no part. Of what is
posted together the frames go out as one gather list, and the last alone is acknowledged
(RDMA's selective signalling): the others have landed before it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from nodes.protocol.world import Span
from nodes.worlds.sockets.byte_region import ByteRegion

_HEADER = struct.Struct("<IIIIIiI")  # op, sequence, key, row, rows, group, bytes
_WRITE, _ACK, _READ, _DATA, _BURST, _UNSIGNALLED_WRITE = range(1, 7)
_ALL_GROUPS = -1
_IOVECS = 512
_LOW_WATER = 64 << 10


PassDram = Callable[[int, Callable[[], None]], None]


class Work(NamedTuple):
    """A span of a region of this node, and where it is at the peer: region `key`, row `row` on."""

    region: ByteRegion
    span: Span
    key: int
    row: int

    @property
    def peer_span(self) -> Span:
        lo, hi, group = self.span.lo, self.span.hi, self.span.group
        return Span(self.row, self.row + hi - lo, group)


class Landing(NamedTuple):
    """Where a payload goes: the rows of a span in a region of this node."""

    region: ByteRegion
    span: Span


class QueuePair:
    """Verbs with one peer end.

    Args:
        sock: connected, non-blocking.
        regions: this node's registered memory by key.
        failed: called with the exception that broke the connection.
        pass_dram: where this end is in DRAM, what makes a number of wire bytes wait for the
            node's DRAM bus before something is done.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        regions: Mapping[int, ByteRegion],
        failed: Callable[[OSError], None],
        pass_dram: PassDram | None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._regions = regions
        self._failed = failed
        self._pass_dram = pass_dram
        self._sequence = 0
        self._completions: dict[int, asyncio.Future[None]] = {}
        self._reads: dict[int, Landing] = {}
        self._outgoing: deque[memoryview] = deque()
        self._writing = False
        self._gathers = False
        self._header = memoryview(bytearray(_HEADER.size))
        self._into = self._header
        self._got = 0
        self._frame: tuple[int, ...] | None = None
        self._staged: Landing | None = None
        self._low_water = 1
        loop.add_reader(sock, self._readable)

    def write(self, works: Sequence[Work]) -> asyncio.Future[None]:
        """Write spans of this node's regions to the peer's; done when all have landed."""
        with self._gathering():
            for work in works[:-1]:
                payload = work.region.buffers(work.span)
                self._send_passed(_UNSIGNALLED_WRITE, 0, work.key, work.peer_span, payload)
            last = works[-1]
            payload = last.region.buffers(last.span)
            self._send_passed(_WRITE, self._number(), last.key, last.peer_span, payload)
        return self._completion()

    def read(self, works: Sequence[Work]) -> asyncio.Future[None]:
        """Read spans of the peer's regions into this node's; done when all have landed."""
        with self._gathering():
            for work in works:
                self._reads[self._number()] = Landing(work.region, work.span)
                self._send_passed(_READ, self._sequence, work.key, work.peer_span, [])
        return self._completion()

    def burst(self, size: int) -> asyncio.Future[None]:
        """Write `size` bytes that the peer drops when they have all arrived."""
        self._send_passed(_BURST, self._number(), 0, Span(0, 0), [memoryview(bytes(size))])
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
        completion = self._completions[self._sequence] = self._loop.create_future()
        return completion

    @contextmanager
    def _gathering(self) -> Iterator[None]:
        """What is sent meanwhile goes out together."""
        self._gathers = True
        yield
        self._gathers = False
        self._flush()

    def _send_passed(
        self, op: int, sequence: int, key: int, span: Span, payload: list[memoryview]
    ) -> None:
        """Send, a payload out of DRAM when it has its turn there."""
        size = sum(len(part) for part in payload)
        if self._pass_dram is not None and size:
            self._pass_dram(size, partial(self._send, op, sequence, key, span, payload))
        else:
            self._send(op, sequence, key, span, payload)

    def _send(
        self, op: int, sequence: int, key: int, span: Span, payload: list[memoryview]
    ) -> None:
        group = _ALL_GROUPS if span.group is None else span.group
        size = sum(len(part) for part in payload)
        header = _HEADER.pack(op, sequence, key, span.lo, span.hi - span.lo, group, size)
        self._outgoing.append(memoryview(header))
        self._outgoing.extend(payload)
        if not self._gathers:
            self._flush()

    def _flush(self) -> None:
        if not self._writing:
            self._write_out()

    def _write_out(self) -> None:
        outgoing = self._outgoing
        try:
            while outgoing:
                batch = [outgoing[i] for i in range(min(len(outgoing), _IOVECS))]
                sent = self._sock.sendmsg(batch)
                while sent:
                    first = outgoing[0]
                    if sent < len(first):
                        outgoing[0] = first[sent:]
                        break
                    sent -= len(first)
                    outgoing.popleft()
        except BlockingIOError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._sock, self._write_out)
            return
        except OSError as error:
            self._break(error)
            return
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            while True:
                got = self._sock.recv_into(self._into[self._got :])
                if got == 0:
                    raise ConnectionResetError("the peer closed it")
                self._got += got
                if self._got == len(self._into):
                    self._received()
                else:
                    self._expect(len(self._into) - self._got)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)

    def _expect(self, remaining: int) -> None:
        """Be woken for a good part of what is still to come, not for every packet."""
        low_water = min(remaining, _LOW_WATER)
        if low_water != self._low_water:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low_water)
            self._low_water = low_water

    def _received(self) -> None:
        if self._frame is None:
            self._frame = _HEADER.unpack(self._into)
            op, sequence, key, row, rows, group, size = self._frame
            span = Span(row, row + rows, None if group == _ALL_GROUPS else group)
            if op == _READ:
                self._send_passed(_DATA, sequence, 0, span, self._region(key, span).buffers(span))
            elif op == _BURST:
                self._into, self._got = memoryview(bytearray(size)), 0
                self._expect(size)
                return
            elif op in (_WRITE, _UNSIGNALLED_WRITE, _DATA) and size:
                landing = (
                    Landing(self._region(key, span), span) if op != _DATA else self._reads[sequence]
                )
                in_place = landing.region.landing(landing.span)
                self._staged = None if in_place is not None else landing
                self._into = in_place if in_place is not None else memoryview(bytearray(size))
                if len(self._into) != size:
                    raise ConnectionError(f"{size} bytes came for {len(self._into)} of {span}")
                self._got = 0
                self._expect(size)
                return
            self._finish(op, sequence)
        else:
            if self._staged is not None:
                self._staged.region.scatter(self._staged.span, self._into)
                self._staged = None
            finish = partial(self._finish, self._frame[0], self._frame[1])
            if self._pass_dram is not None:
                self._pass_dram(len(self._into), finish)
            else:
                finish()
        self._frame = None
        self._into, self._got = self._header, 0
        self._expect(_HEADER.size)

    def _finish(self, op: int, sequence: int) -> None:
        if op in (_WRITE, _BURST):
            self._send(_ACK, sequence, 0, Span(0, 0), [])
        elif op in (_ACK, _DATA):
            self._reads.pop(sequence, None)
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

    def _break(self, error: OSError) -> None:
        if self._sock.fileno() < 0:  # an answer could not be sent, then nothing be received
            return
        self.close()
        self._failed(error)
