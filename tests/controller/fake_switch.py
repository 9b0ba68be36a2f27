"""An OpenFlow 1.3 switch that keeps what it is told and answers what it is asked."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ryu.ofproto import ofproto_parser, ofproto_protocol
from ryu.ofproto import ofproto_v1_3 as ofp

HEADER = struct.Struct("!BBHI")
PORT = struct.Struct("!I4x6s2x16s8I")
FEATURES = struct.Struct("!QIBB2xII")
MULTIPART = struct.Struct("!HH4x")
PORT_STATS = struct.Struct("!I4x12Q2I")
QUEUE_STATS = struct.Struct("!II3Q2I")
PORT_STATUS = struct.Struct("!B7x")
ERROR = struct.Struct("!HH")


class FakeSwitch:
    """A switch with a thread of its own that lives until its socket is closed.

    Attributes:
        flow_mods: flow modifications in order, as Ryu parses them.
        barriers: how many barrier requests came, all of them answered.
    """

    def __init__(self, address: tuple[str, int], dpid: int, ports: Iterable[int]) -> None:
        self.dpid = dpid
        self.ports = list(ports)
        self.down: set[int] = set()
        self.flow_mods: list[Any] = []
        self.barriers = 0
        self._protocol = ofproto_protocol.ProtocolDesc(ofp.OFP_VERSION)
        self._socket = socket.create_connection(address)
        self._changed = threading.Condition()
        self._send(ofp.OFPT_HELLO, 0, b"")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):  # the controller may be gone already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def set_port(self, number: int, *, down: bool) -> None:
        """Change a port's link state and tell the controller."""
        (self.down.add if down else self.down.discard)(number)
        body = PORT_STATUS.pack(ofp.OFPPR_MODIFY) + self._port(number)
        self._send(ofp.OFPT_PORT_STATUS, 0, body)

    def refuse(self, kind: int, code: int) -> None:
        self._send(ofp.OFPT_ERROR, 0, ERROR.pack(kind, code))

    def wait_for_barriers(self, count: int, timeout_s: float = 20.0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.barriers >= count, timeout_s)

    def _serve(self) -> None:
        try:
            while True:
                version, kind, length, xid = header = HEADER.unpack(self._receive(HEADER.size))
                body = self._receive(length - HEADER.size)
                with self._changed:
                    self._handle(header, HEADER.pack(version, kind, length, xid) + body)
                    self._changed.notify_all()
        except OSError:
            return

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def _handle(self, header: tuple[int, int, int, int], data: bytes) -> None:
        version, kind, length, xid = header
        if kind == ofp.OFPT_FEATURES_REQUEST:
            self._send(ofp.OFPT_FEATURES_REPLY, xid, FEATURES.pack(self.dpid, 0, 2, 0, 0, 0))
        elif kind == ofp.OFPT_ECHO_REQUEST:
            self._send(ofp.OFPT_ECHO_REPLY, xid, data[HEADER.size :])
        elif kind == ofp.OFPT_BARRIER_REQUEST:
            self.barriers += 1
            self._send(ofp.OFPT_BARRIER_REPLY, xid, b"")
        elif kind == ofp.OFPT_MULTIPART_REQUEST:
            self._answer(xid, MULTIPART.unpack_from(data, HEADER.size)[0])
        elif kind == ofp.OFPT_FLOW_MOD:
            protocol = self._protocol
            self.flow_mods.append(
                ofproto_parser.msg(protocol, version, kind, length, xid, bytearray(data))
            )

    def _answer(self, xid: int, kind: int) -> None:
        if kind == ofp.OFPMP_PORT_DESC:
            self._reply(xid, kind, [self._port(number) for number in self.ports])
        elif kind == ofp.OFPMP_PORT_STATS:
            # in two parts, as a large switch would
            rows = [self._port_stats(number) for number in self.ports]
            self._reply(xid, kind, rows[:1], flags=ofp.OFPMPF_REPLY_MORE)
            self._reply(xid, kind, rows[1:])
        elif kind == ofp.OFPMP_QUEUE:
            rows = [self._queue_stats(number, vl) for number in self.ports for vl in range(4)]
            self._reply(xid, kind, rows)

    def _reply(self, xid: int, kind: int, rows: list[bytes], flags: int = 0) -> None:
        body = MULTIPART.pack(kind, flags) + b"".join(rows)
        self._send(ofp.OFPT_MULTIPART_REPLY, xid, body)

    def _send(self, kind: int, xid: int, body: bytes) -> None:
        header = HEADER.pack(ofp.OFP_VERSION, kind, HEADER.size + len(body), xid)
        self._socket.sendall(header + body)

    def _port(self, number: int) -> bytes:
        state = ofp.OFPPS_LINK_DOWN if number in self.down else ofp.OFPPS_LIVE
        name = f"p{number}".encode()
        return PORT.pack(number, bytes(6), name, 0, state, 0, 0, 0, 0, 0, 0)

    def _port_stats(self, number: int) -> bytes:
        rx_bytes, tx_bytes, rx_dropped, tx_dropped = 1000 + number, 2000 + number, 3, 4
        counters = (0, 0, rx_bytes, tx_bytes, rx_dropped, tx_dropped, 0, 0, 0, 0, 0, 0)
        return PORT_STATS.pack(number, *counters, 0, 0)

    def _queue_stats(self, number: int, vl: int) -> bytes:
        tx_bytes, tx_packets, tx_errors = 100 * number + vl, 1, vl
        return QUEUE_STATS.pack(number, vl, tx_bytes, tx_packets, tx_errors, 0, 0)
