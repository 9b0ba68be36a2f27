"""The frames of a capture as arrays: times, sizes, marks, directions, repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenarios.results.windows import Series

Bytes = NDArray[np.uint8]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

HEADER_BYTES = 54
"""Ethernet, IPv4 and TCP without options, as this fabric's hosts send them."""
NOT_IP = -1
_IPV4, _TCP = 0x0800, 6


@dataclass(frozen=True)
class Frames:
    """n frames in the order in which they were recorded.

    Attributes:
        t_s: wall clock, seconds since the epoch; size_bytes: on the wire, without the frame
            check sequence, as queues count.
        word: the first four bytes of the IPv4 header, by which egresses classify; NOT_IP
            where there is none.
        direction: 0 or 1, as a tap's directions.
        repeated: TCP segments whose sequence number had passed in that direction before.
    """

    t_s: Series
    size_bytes: Whole
    word: Whole
    direction: Whole
    repeated: Flags

    @property
    def dscp(self) -> Whole:
        """0..63, or NOT_IP."""
        return np.where(self.word == NOT_IP, NOT_IP, self.word >> 18 & 63)


def read_frames(path: Path, side: frozenset[str]) -> Frames:
    """Read a pcap file of Ethernet frames.

    Args:
        side: MAC addresses whose frames to others go in direction 0 (`Tap.side`).

    Raises:
        scapy.error.Scapy_Exception: it is not a pcap file.
    """
    # a third of a second that a run without captures need not spend
    from scapy.utils import RawPcapReader

    headers, rows = bytearray(), []
    with RawPcapReader(str(path)) as reader:
        for frame, about in reader:
            headers += frame[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")
            rows.append((about.sec + about.usec / 1e6, about.wirelen))
    times, sizes = np.array(rows, dtype=float).reshape(-1, 2).T
    header = np.frombuffer(bytes(headers), np.uint8).reshape(-1, HEADER_BYTES)
    ipv4 = (_number(header, 12, 2) == _IPV4) & (header[:, 14] >> 4 == 4)
    direction = _direction(header, side)
    return Frames(
        t_s=times,
        size_bytes=sizes.astype(np.int64),
        word=np.where(ipv4, _number(header, 14, 4), NOT_IP),
        direction=direction,
        repeated=_repeated(header, ipv4, direction),
    )


def _direction(header: Bytes, side: frozenset[str]) -> Whole:
    own = np.array([int(mac.replace(":", ""), 16) for mac in side], dtype=np.int64)
    to, sender = (np.isin(_number(header, at, 6), own) for at in (0, 6))
    direction = np.where(sender, 0, 1)
    reflected = to & sender
    # the same frame, going out and coming back: addresses, ports, IP id and sequence number
    copies = _earlier(
        [_number(header[reflected], at, size) for at, size in ((18, 2), (26, 8), (34, 8))]
    )
    direction[reflected] = copies % 2
    return direction.astype(np.int64)


def _repeated(header: Bytes, ipv4: Flags, direction: Whole) -> Flags:
    data_bytes = _number(header, 16, 2) - 20 - 4 * (header[:, 46] >> 4).astype(np.int64)
    segment = ipv4 & (header[:, 14] == 0x45) & (header[:, 23] == _TCP) & (data_bytes > 0)
    keys = [_number(header[segment], at, 8) for at in (26, 34)]
    repeated = np.zeros(len(header), dtype=bool)
    repeated[segment] = _earlier([*keys, direction[segment]]) > 0
    return repeated


def _number(header: Bytes, at: int, size: int) -> Whole:
    """Big-endian numbers of up to 8 bytes; of 8, as they come out signed, only to compare."""
    value = np.zeros(len(header), dtype=np.int64)
    for column in range(at, at + size):
        value = value << 8 | header[:, column]
    return value


def _earlier(keys: Sequence[Whole]) -> Whole:
    """How many earlier rows have the same keys, for each row."""
    order = np.lexsort(keys)
    places = np.arange(len(order))
    begins = np.ones(len(order), dtype=bool)
    if len(order):
        sorted_keys = [key[order] for key in keys]
        begins[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in sorted_keys])
    first = np.maximum.accumulate(np.where(begins, places, 0))
    earlier = np.empty(len(order), dtype=np.int64)
    earlier[order] = places - first
    return earlier
