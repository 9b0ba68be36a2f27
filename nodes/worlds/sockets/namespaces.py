"""Sockets that live in another network namespace than their process."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def network_namespace(pid: int | None) -> Iterator[None]:
    """Be in the network namespace of process `pid` (None: stay) while the block runs.

    A socket keeps the namespace it was made in. Only for single-threaded start-up and
    for code that does not await inside.

    Raises:
        OSError: no such process, or not root.
    """
    if pid is None:
        yield
        return
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(there)
        yield
    finally:
        _enter(home)
        os.close(there)
        os.close(home)


def tcp_socket(dscp: int, patience_s: float) -> socket.socket:
    """A non-blocking TCP socket of the current namespace.

    What it may have in flight, its credits, is bounded by the namespace's buffer sizes.

    Args:
        dscp: 0..63, goes into every packet's header.
        patience_s: wall seconds that data may stay unacknowledged, once it was sent again,
            before the connection breaks with ETIMEDOUT; what is accepted inherits it.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * patience_s))
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
    return made
