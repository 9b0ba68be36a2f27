"""VL arbitration (paper section 3) compiled to the shares that every egress applies."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import msgspec
from msgspec import Meta

from plan.lanes import Filter, Lane, LaneTable, TrafficClass

LANE_NAMES = ("collective", "control", "kv", "spare")
"""Names of VL0 to VL3. Nothing is mapped to the spare lane but unmarked traffic."""

SL_TO_VL: dict[TrafficClass, int] = {
    "collective": 0,
    "control": 1,
    "kv": 2,
    "storage": 2,
    "copy": 2,
}
"""Virtual lane of each traffic class: collectives high, KV-Cache and storage reads low."""

DSCP: dict[TrafficClass, int] = {
    "collective": 46,
    "control": 48,
    "kv": 26,
    "storage": 18,
    "copy": 28,
}
"""DSCP that marks each traffic class (EF, CS6, AF31, AF21 and AF32)."""

ACKNOWLEDGEMENT_BYTES = 64
"""IP packets below this length (a power of two) hold headers and no payload."""

LIGHT_SHARE = 0.01
"""Part of the high table's guarantee for each high lane that carries no bulk."""

VlWeights = tuple[
    tuple[Annotated[int, Meta(ge=0, le=len(LANE_NAMES) - 1)], Annotated[int, Meta(ge=0, le=255)]],
    ...,
]
"""`(vl, weight)` entries. A VL may have several; those of weight 0 are skipped."""


class Arbitration(msgspec.Struct, frozen=True, kw_only=True):
    """An InfiniBand VL arbitration; the defaults are the paper's (section 3).

    Attributes:
        high_limit: `qos_high_limit`, units of 4096 bytes that the high table may send
            before a packet of the low table gets its turn; 0 stands for one packet. There is
            no 255, which switches the low arbiter off: KV-Cache would starve.
        vlarb_high, vlarb_low: the two tables, by the numbers of `LANE_NAMES`.
    """

    high_limit: Annotated[int, Meta(ge=0, le=254)] = 240
    vlarb_high: VlWeights = ((0, 192), (1, 192), (2, 0), (3, 192))
    vlarb_low: VlWeights = ((0, 192), (1, 192), (2, 64), (3, 192))

    @property
    def unserved(self) -> list[int]:
        """The VLs that would never send: they have no weight in either table."""
        served = _weights(self.vlarb_high).keys() | _weights(self.vlarb_low).keys()
        return [vl for vl in range(len(LANE_NAMES)) if vl not in served]


PAPER = Arbitration()


def lane_table(
    arbitration: Arbitration | None = PAPER, *, direct_copies: bool = False
) -> LaneTable:
    """Compile an arbitration to guaranteed shares and priorities (paper section 3).

    While both tables have packets, `high_limit` x 4096 bytes of the high table pass for every
    packet (4096 bytes, InfiniBand's largest) of the low one: with 240 the low arbiter is sure
    of 1 / 241 = 0.4 % and the high one of 99.6 %, the paper's "about 99 %". A lane in the high
    table is a high lane: its turns in the low table would only return to it what it already
    has, so the low arbiter's part goes, by weight, to the lanes that are in the low table alone.

    In a VL arbiter the high lanes share one guarantee and weights decide between those that
    are backlogged. An HTB class has a guarantee of its own, and what a class has to borrow
    waits for the debt that KV-Cache has run up on the link: with a third of the link each,
    bursts of collectives were measured to take 1.3 times as long under KV load as without.
    So where the collective lane is in the high table it gets the high part but for
    `LIGHT_SHARE` to each other high lane; those carry messages and acknowledgements only and
    are never backlogged. The paper's tables give collective 97.6 %, control and spare 1 %,
    kv 0.4 %.

    These are guarantees, not limits: every lane may borrow up to the link's rate, and high
    lanes (priority 0) are offered idle bandwidth before low ones (priority 1), which is what
    makes the arbitration work-conserving.

    With `direct_copies` local H2D and D2H copies bypass the CNIC's arbitration (paper section
    1 warns of it): on the bus they stand beside the collectives, so they share their lane.

    Without an arbitration there is one lane, `shared`, to which every class maps; the DSCPs stay.

    Args:
        arbitration: serves every VL.
    """
    if arbitration is None:
        shared = Lane(name="shared", vl=0, min_share=1.0, priority=0)
        return LaneTable(
            enabled=False,
            lanes=(shared,),
            filters=(Filter(3, "all", 0, 0, 0),),
            dscp=dict(DSCP),
            vl=dict.fromkeys(SL_TO_VL, 0),
        )
    shares = _shares(arbitration)
    high = _weights(arbitration.vlarb_high)
    lanes = tuple(
        Lane(name=name, vl=vl, min_share=shares[vl], priority=0 if vl in high else 1)
        for vl, name in enumerate(LANE_NAMES)
    )
    vl = dict(SL_TO_VL)
    if direct_copies:
        vl["copy"] = vl["collective"]
    return LaneTable(enabled=True, lanes=lanes, filters=_filters(lanes, vl), dscp=dict(DSCP), vl=vl)


def _filters(lanes: tuple[Lane, ...], vl: dict[TrafficClass, int]) -> tuple[Filter, ...]:
    """How every egress classifies frames.

    Frames too short for payload are TCP's acknowledgements, the credits of this fabric:
    they take the control lane, for behind the bulk of the opposite direction they would
    throttle their flow, as no RDMA network does. Other frames go by their DSCP, and those
    that have none of the plan's to the last lane, as on the switches.
    """
    return (
        # word 0 of the IP header: version, DSCP (6 bits from bit 18), total length (16 bits)
        Filter(1, "ip", 0, 0xFFFF & -ACKNOWLEDGEMENT_BYTES, vl["control"]),
        *(Filter(2, "ip", mark << 18, 0x3F << 18, vl[traffic]) for traffic, mark in DSCP.items()),
        Filter(3, "all", 0, 0, lanes[-1].vl),
    )


def _shares(arbitration: Arbitration) -> dict[int, float]:
    high = _weights(arbitration.vlarb_high)
    low = _weights(arbitration.vlarb_low)
    low_only = {vl: weight for vl, weight in low.items() if vl not in high}
    if not high or not low_only:
        return _divided(1.0, high or low_only)
    burst = max(arbitration.high_limit, 1)
    high_part = burst / (burst + 1)
    return _high_shares(high_part, high) | _divided(1.0 - high_part, low_only)


def _high_shares(part: float, weights: dict[int, int]) -> dict[int, float]:
    bulk = SL_TO_VL["collective"]
    if bulk not in weights:
        return _divided(part, weights)
    shares = dict.fromkeys(weights, LIGHT_SHARE * part)
    shares[bulk] = part - LIGHT_SHARE * part * (len(weights) - 1)
    return shares


def _divided(part: float, weights: dict[int, int]) -> dict[int, float]:
    total = sum(weights.values())
    return {vl: part * weight / total for vl, weight in weights.items()}


def _weights(table: VlWeights) -> dict[int, int]:
    weights: Counter[int] = Counter()
    for vl, weight in table:
        weights[vl] += weight
    return {vl: weight for vl, weight in weights.items() if weight}
