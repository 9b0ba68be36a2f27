"""Egresses, and the virtual lanes that each of them applies: the arbitration's outcome, as data."""

from __future__ import annotations

from typing import Literal

import msgspec

TrafficClass = Literal["collective", "control", "kv", "storage", "copy"]
"""What a sender says of its bytes; its DSCP tells the fabric (SL in InfiniBand terms).

`copy` is a GPU's local H2D and D2H; it shares the lane of `kv` where the CNIC does copies."""


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual lane (VL) of every egress queue set.

    Attributes:
        name: `collective`, `control`, `kv` or `spare`: the key used in reports.
        vl: number of the virtual lane; also the OVS queue id.
        min_share: fraction of the egress rate guaranteed to the lane, all lanes sum to 1.
        priority: HTB priority; a smaller number gets idle bandwidth first.
    """

    name: str
    vl: int
    min_share: float
    priority: int


class Filter(msgspec.Struct, frozen=True):
    """Frames whose first header word, masked, is `value` go to lane `vl`.

    Attributes:
        order: filters are tried by this, ascending.
        protocol: `ip`, whose word is version, DSCP and total length; or `all` frames.
    """

    order: int
    protocol: Literal["ip", "all"]
    value: int
    mask: int
    vl: int


class QueueClass(msgspec.Struct, frozen=True):
    """The queue of one lane at one egress, in emulated bit/s and bytes on the wire.

    Attributes:
        rate_bps: guaranteed; ceil_bps: that it may borrow up to, the egress's own rate.
        burst_bytes: that it may catch up with at once.
        priority: a smaller number is offered idle bandwidth first.
    """

    vl: int
    rate_bps: int
    ceil_bps: int
    burst_bytes: int
    priority: int


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """A device that transmits: the host side of a NIC, or a switch port.

    Attributes:
        name: `<nic> out` (at the node), `<nic> in` (at its leaf switch) or `a→b` of a link.
        host: host (namespace) of the device; None for a switch's.
        device: its network interface there.
        port: the switch's name and OpenFlow port number; None at a host.
        rate_bps: nominal payload rate, model bit/s.
    """

    name: str
    host: str | None
    device: str
    port: tuple[str, int] | None
    rate_bps: float


class LaneTable(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic class -> DSCP -> virtual lane, for every NIC and switch egress.

    Attributes:
        enabled: False sends every class through one queue (`lanes: off`); DSCPs stay.
        lanes: the virtual lanes, by `vl`. Frames that no class marked take the last.
        filters: how an egress that sees frames alone tells their lanes.
        dscp: DSCP (0..63) that a socket of the class sets.
        vl: virtual lane of the class.
    """

    enabled: bool
    lanes: tuple[Lane, ...]
    filters: tuple[Filter, ...]
    dscp: dict[TrafficClass, int]
    vl: dict[TrafficClass, int]

    @property
    def unmarked_vl(self) -> int:
        """Virtual lane of frames that have no class's mark."""
        return self.lanes[-1].vl
