"""Virtual lanes as every egress applies them: the arbitration's outcome, as data."""

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
        vl: number of the virtual lane; also the OVS queue id and HTB class minor - 1.
        min_share: fraction of the egress rate guaranteed to the lane, all lanes sum to 1.
        priority: HTB priority; a smaller number gets idle bandwidth first.
    """

    name: str
    vl: int
    min_share: float
    priority: int


class LaneTable(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic class -> DSCP -> virtual lane, for every NIC and switch egress.

    Attributes:
        enabled: False sends every class through one queue (`lanes: off`); DSCPs stay.
        lanes: the virtual lanes, by `vl`.
        dscp: DSCP (0..63) that a socket of the class sets.
        vl: virtual lane of the class.
    """

    enabled: bool
    lanes: tuple[Lane, ...]
    dscp: dict[TrafficClass, int]
    vl: dict[TrafficClass, int]
