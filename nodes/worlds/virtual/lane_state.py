"""Links, the queues of their lanes, and flows: what lane sharing solves for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

TIE: Final = 1e-12
"""Relative difference below which rates, and offers of a link, count as equal."""


class Link:
    """One direction of a NIC or of a switch-to-switch link, with a queue for each lane.

    Attributes:
        capacity: bytes/s.
        queues: lane number (see `lane_sharing`) -> queue.
        present: how many lanes have flows here.
    """

    __slots__ = ("capacity", "present", "queues")

    def __init__(self, capacity: float, lanes: list[Lane]) -> None:
        self.capacity = capacity
        self.present = 0
        self.queues = tuple(Queue(self, lane) for lane in lanes)

    def offer_to(self, group: Sequence[Lane]) -> float:
        """What the groups before leave of the link, less the guarantees of those after."""
        first, last = group[0].number, group[-1].number
        offer = self.capacity
        for queue in self.queues:
            if not queue.flows:
                continue
            if queue.lane.number < first:
                offer -= queue.load + queue.extra
            elif queue.lane.number > last:
                offer -= queue.lane.share * self.capacity
        return max(offer, 0.0)


class Queue:
    """The flows of one lane on one link. Rates in bytes/s.

    Attributes:
        offer: what the lane may use here before second helpings.
        load: sum of the flows' fair rates; extra: of their second helpings in the group.
        bound: how many flows have their bottleneck here.
    """

    __slots__ = (
        "bound",
        "count",
        "extra",
        "flows",
        "free",
        "lane",
        "left",
        "level",
        "link",
        "load",
        "mark",
        "members",
        "offer",
    )

    def __init__(self, link: Link, lane: Lane) -> None:
        self.link = link
        self.lane = lane
        self.flows: dict[Flow, None] = {}
        self.offer = link.capacity
        self.load = 0.0
        self.extra = 0.0
        self.bound = 0
        self.mark = 0  # the solving round that last touched the queue; the rest is its scratch
        self.free = 0.0
        self.left = 0.0
        self.count = 0
        self.level = 0.0
        self.members: list[Flow] = []


class Flow:
    """A flow on a path of queues of one lane, bytes/s.

    Its rate is `fair` (first helping) + `extra` (second, within the group) + `late` (what
    guarantees kept back in vain).
    """

    __slots__ = ("bottleneck", "extra", "fair", "late", "mark", "next", "queues")

    def __init__(self, queues: tuple[Queue, ...]) -> None:
        self.queues = queues
        self.fair = 0.0
        self.extra = 0.0
        self.late = 0.0
        self.bottleneck: Queue | None = None
        self.mark = 0
        self.next = 0.0


class Lane:
    """A lane and the changes that wait for the next solving."""

    __slots__ = ("added", "loosened", "number", "refillable", "share")

    def __init__(self, number: int, share: float) -> None:
        self.number = number
        self.share = share
        self.refillable = False  # may get second helpings
        self.added: dict[Flow, None] = {}
        self.loosened: dict[Queue, None] = {}
