"""What crossed a recorded link: which class in which lane, held against the queues' counters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from plan.lanes import Filter
from plan.model import Plan
from scenarios.results.frames import NOT_IP, Frames, Whole
from scenarios.results.taps import Tap
from scenarios.results.windows import WINDOW_S, Series

AGREEMENT = 0.03
"""A lane's bytes by capture and by counter may differ by that share, or by SLACK_FRAMES."""
WINDOWS = 120
"""Into so many equal parts the time is divided for rates."""
SLACK_FRAMES = 32
"""Full-sized frames that may pass between the reading of counters and the capture's ends."""
_NO_LANE = -1


class ClassTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """The frames of one DSCP and lane in one direction.

    Attributes:
        dscp: None for frames that are not IPv4.
        traffic: traffic class by the plan, or `unmarked`. Frames without payload, the
            acknowledgements, are told apart where their lane is another.
        lane: where an egress sends such frames by the plan.
        frames: emulated ones; bytes: model bytes of payload, as everywhere in a report.
        share: of the direction's bytes.
        first_s, last_s: model seconds since the run's start.
        sent_again: TCP segments whose sequence number had passed before.
    """

    direction: str
    dscp: int | None
    traffic: str
    lane: str
    frames: int
    bytes: float
    share: float
    first_s: float
    last_s: float
    sent_again: int


class LaneTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """A lane in one direction: model bytes that the capture holds, and that its queue counted."""

    direction: str
    lane: str
    captured_bytes: float
    queue_bytes: float

    @property
    def error(self) -> float | None:
        """Captured over counted, less 1; None where nothing was counted."""
        return self.captured_bytes / self.queue_bytes - 1 if self.queue_bytes else None


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """A class's mean rates in each window between `edges_s`, model bit/s of payload."""

    direction: str
    traffic: str
    rates_bps: list[float]


class LinkTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """All that a capture says of a link.

    Attributes:
        dropped: frames that the kernel had no room for; full: it ended at its limit.
        problems: lanes on which capture and counters disagree though nothing is missing, a
            clause each.
        edges_s: limits of the windows of `rates`, model seconds.
    """

    link: str
    frames: int
    dropped: int
    full: bool
    classes: tuple[ClassTraffic, ...]
    lanes: tuple[LaneTraffic, ...]
    problems: tuple[str, ...]
    edges_s: list[float]
    rates: tuple[Rates, ...]


def describe(
    plan: Plan,
    tap: Tap,
    frames: Frames,
    rules: Sequence[Sequence[Filter]],
    queues: Sequence[Mapping[str, int]],
    start_s: float,
    *,
    dropped: int = 0,
    full: bool = False,
) -> LinkTraffic:
    """Reduce the frames of a capture.

    Args:
        rules: for each direction, by which its egress classifies.
        queues: for each direction, emulated bytes that each lane's queue sent meanwhile.
        start_s: the run's start on the wall clock, seconds since the epoch.
        dropped, full: see `LinkTraffic`.
    """
    times_s = (frames.t_s - start_s) / plan.scale.dilation
    span_s = float(times_s.max(initial=WINDOW_S))
    edges_s = np.linspace(0, span_s, WINDOWS + 1)
    classes: list[ClassTraffic] = []
    rates: list[Rates] = []
    for way, direction in enumerate(tap.directions):
        total = frames.size_bytes[frames.direction == way].sum()
        vls = _vls(frames, rules[way])
        for dscp, vl in _kinds(frames, vls, way):
            chosen = (frames.direction == way) & (frames.dscp == dscp) & (vls == vl)
            sizes, moments = frames.size_bytes[chosen], times_s[chosen]
            traffic, lane = _class_and_lane(plan, dscp, vl)
            classes.append(
                ClassTraffic(
                    direction=direction,
                    dscp=None if dscp == NOT_IP else dscp,
                    traffic=traffic,
                    lane=lane,
                    frames=len(sizes),
                    bytes=plan.payload_bytes(float(sizes.sum())),
                    share=float(sizes.sum() / total),
                    first_s=float(moments.min()),
                    last_s=float(moments.max()),
                    sent_again=int(frames.repeated[chosen].sum()),
                )
            )
            wire: Series = np.histogram(moments, edges_s, weights=sizes)[0]
            bps = [8 * plan.payload_bytes(size) * WINDOWS / span_s for size in wire.tolist()]
            rates.append(Rates(direction=direction, traffic=traffic, rates_bps=bps))
    lanes = _lanes(plan, tap, classes, queues)
    return LinkTraffic(
        link=tap.link,
        frames=len(frames.t_s),
        dropped=dropped,
        full=full,
        classes=tuple(classes),
        lanes=lanes,
        problems=() if dropped or full else tuple(_problems(plan, tap.link, lanes)),
        edges_s=edges_s.tolist(),
        rates=tuple(rates),
    )


def _vls(frames: Frames, rules: Sequence[Filter]) -> Whole:
    """The virtual lane that the first matching rule sends each frame to."""
    vls = np.full(len(frames.word), _NO_LANE, dtype=np.int64)
    for rule in sorted(rules, key=lambda rule: rule.order):
        fits = (frames.word & rule.mask == rule.value) & (vls == _NO_LANE)
        vls[fits & ((frames.word != NOT_IP) | (rule.protocol == "all"))] = rule.vl
    return vls


def _kinds(frames: Frames, vls: Whole, way: int) -> list[tuple[int, int]]:
    """The pairs of DSCP and virtual lane in a direction."""
    pairs = np.stack([frames.dscp, vls])[:, frames.direction == way]
    return [(int(dscp), int(vl)) for dscp, vl in np.unique(pairs, axis=1).T]


def _class_and_lane(plan: Plan, dscp: int, vl: int) -> tuple[str, str]:
    lane = next(lane.name for lane in plan.lanes.lanes if lane.vl == vl)
    for traffic, mark in plan.lanes.dscp.items():
        if mark == dscp:
            bare = vl != plan.lanes.vl[traffic]
            return f"{traffic}, no payload" if bare else traffic, lane
    return "unmarked", lane


def _lanes(
    plan: Plan, tap: Tap, classes: Sequence[ClassTraffic], queues: Sequence[Mapping[str, int]]
) -> tuple[LaneTraffic, ...]:
    return tuple(
        LaneTraffic(
            direction=direction,
            lane=lane,
            captured_bytes=math.fsum(
                row.bytes for row in classes if (row.direction, row.lane) == (direction, lane)
            ),
            queue_bytes=plan.payload_bytes(sent),
        )
        for direction, queue in zip(tap.directions, queues, strict=True)
        for lane, sent in queue.items()
    )


def _problems(plan: Plan, link: str, lanes: Sequence[LaneTraffic]) -> list[str]:
    slack = plan.payload_bytes(SLACK_FRAMES * plan.fabric.mtu)
    return [
        f"of lane {lane.lane} {lane.direction} the capture of {link} holds"
        f" {lane.captured_bytes / 1e9:.3g} GB and its queue counted {lane.queue_bytes / 1e9:.3g} GB"
        for lane in lanes
        if abs(lane.captured_bytes - lane.queue_bytes)
        > max(slack, AGREEMENT * max(lane.captured_bytes, lane.queue_bytes))
    ]
