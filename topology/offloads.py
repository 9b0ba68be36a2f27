"""Plain Ethernet: devices that hand on the frames that they were given.

The userspace datapath drops frames with partial checksums, and queues are to see single frames.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from collections.abc import Iterable

from plan.errors import RunError

_SIOCETHTOOL = 0x8946
_FEATURES = {
    "tx checksums": (0x16, 0x17),
    "tcp segmentation": (0x1E, 0x1F),
    "generic segmentation": (0x23, 0x24),
    "generic receive": (0x2B, 0x2C),
}
"""Numbers of the kernel's requests that read and set each (linux/ethtool.h)."""


class _Value(ctypes.Structure):
    _fields_ = (("request", ctypes.c_uint32), ("data", ctypes.c_uint32))


def switch_off(devices: Iterable[str]) -> None:
    """Switch all offloads off, of devices in the network namespace of this thread.

    Raises:
        OSError: there is no such device.
        RunError: one is still on.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        for device in devices:
            for feature, (read, write) in _FEATURES.items():
                _ask(door, device, write)
                if _ask(door, device, read):
                    raise RunError(f"{device}: the kernel leaves the offload of {feature} on")


def _ask(door: socket.socket, device: str, request: int) -> int:
    value = _Value(request, 0)
    asked = struct.pack("16sP", device.encode(), ctypes.addressof(value))
    fcntl.ioctl(door, _SIOCETHTOOL, asked)
    return int(value.data)
