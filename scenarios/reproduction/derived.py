"""Points that follow from others: speed-ups over Basic, cuts, what the text says of a figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from scenarios.reproduction.paper import Figure, paper


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the paper and ours beside it.

    Attributes:
        row: MaxLen, where the figure has several.
        paper: None where it is drawn there only; error: ours over the paper's, less 1, None
            where that says nothing.
        used_for_calibration: it is no prediction.
    """

    figure: Figure
    model: str
    row: str | None
    x: float
    system: str | None
    quantity: str
    paper: float | None
    reading_error: float
    ours: float
    error: float | None
    used_for_calibration: bool


def derived(points: Sequence[Point]) -> list[Point]:
    """What follows from points of the paper's figures."""
    return [
        *_speed_ups(points),
        *_capacities(points),
        *_cuts(points),
        *_of_ratios(points),
        *_of_lengths(points),
    ]


def _over(points: Sequence[Point], system: str) -> Iterator[tuple[Point, Point]]:
    """(Basic's, another system's) point of the same run but for the system."""
    base = {_place(p): p for p in points if p.system == "basic"}
    for point in points:
        other = base.get(_place(point))
        if point.system == system and other is not None:
            yield other, point


def _place(point: Point) -> tuple[object, ...]:
    return (point.figure, point.model, point.row, point.x, point.quantity)


def _speed_ups(points: Sequence[Point]) -> Iterator[Point]:
    """DualPath over Basic, which follows from the points of Figs 7, 8 and 9."""
    jcts = [p for p in points if p.figure in ("7", "8", "9")]
    for basic, point in _over(jcts, "dualpath"):
        theirs = basic.paper / point.paper if basic.paper and point.paper else None
        name = point.quantity.removesuffix("_s").replace("jct", "speed_up")
        found = _said(point, name, basic.ours / point.ours, theirs)
        error = basic.reading_error + point.reading_error
        yield msgspec.structs.replace(found, reading_error=error)


def _capacities(points: Sequence[Point]) -> Iterator[Point]:
    """The largest rate of each system up to which the SLO is kept, once all of its rates were run,
    and DualPath's over Basic's."""
    known = paper().online
    for model, theirs in known.capacity.aps.items():
        found = {}
        for system, aps in theirs.items():
            rates = known.rates(model, system)
            run = [p for p in points if (p.figure, p.model, p.system) == ("10", model, system)]
            if {p.x for p in run if p.quantity == "tpot_s"} < set(rates):
                continue
            missed = [p.x for p in run if p.ours > known.capacity.slo.get(p.quantity, math.inf)]
            kept = [rate for rate in rates if rate < min(missed, default=math.inf)]
            found[system] = _said(run[0], "capacity_aps", max(kept, default=0.0), aps, x=0)
        yield from found.values()
        if {"basic", "dualpath"} <= set(found) and found["basic"].ours:
            gain = found["dualpath"].ours / found["basic"].ours
            yield _said(found["dualpath"], "capacity_gain", gain, known.capacity.gain[model])


def _cuts(points: Sequence[Point]) -> Iterator[Point]:
    """What each part of DualPath cuts of Basic's JCT, per cent: the mean over those agents that
    were run, beside the paper's printed mean if those are all."""
    ablated = [p for p in points if p.figure == "12" and p.quantity == "jct_s"]
    known = paper().ablation
    for system, printed in known.mean_cut_percent.items():
        pairs = list(_over(ablated, system))
        if len(pairs) == len(known.values):
            cut = float(np.mean([100 * (1 - point.ours / basic.ours) for basic, point in pairs]))
            yield _said(pairs[-1][1], "mean_cut_percent", cut, printed, x=0)


def _of_ratios(points: Sequence[Point]) -> Iterator[Point]:
    """Speed-ups over all ratios of nodes, and pairs of equal storage bandwidth, whose JCTs the
    text calls equal."""
    known = paper().ratios
    runs = {(p.system, p.x): p for p in points if p.figure == "8"}
    if len(runs) < 2 * len(known.nodes):
        return
    speed_ups = [p.ours for p in _speed_ups(list(runs.values()))]
    first = runs["dualpath", 1.0]
    yield _said(first, "mean_speed_up", float(np.mean(speed_ups)), known.mean_speed_up, x=0)
    yield _said(first, "largest_speed_up", max(speed_ups), known.largest_speed_up, x=0)
    for name, one, other in (
        ("basic_1p2d_over_1p1d", ("basic", 0.5), ("basic", 1.0)),
        ("dualpath_1p1d_over_basic_2p1d", ("dualpath", 1.0), ("basic", 2.0)),
        ("dualpath_2p1d_over_1p2d", ("dualpath", 2.0), ("dualpath", 0.5)),
    ):
        yield _said(first, name, runs[one].ours / runs[other].ours, 1.0, x=0)


def _of_lengths(points: Sequence[Point]) -> Iterator[Point]:
    """Speed-ups over all factors on appends."""
    known = paper().lengths
    pairs = _over([p for p in points if p.quantity == "jct_over_append_s"], "dualpath")
    found = {point.x: (point, basic.ours / point.ours) for basic, point in pairs}
    if len(found) == len(known.factors):
        first, speed_ups = found[1.0][0], [speed_up for _, speed_up in found.values()]
        yield _said(first, "smallest_speed_up", min(speed_ups), known.smallest_speed_up, x=0)
        yield _said(first, "largest_speed_up", max(speed_ups), known.largest_speed_up, x=0)


def _said(
    point: Point, quantity: str, ours: float, theirs: float | None, x: float | None = None
) -> Point:
    """Another quantity of the same run; of all of a figure's where `x` is 0."""
    return msgspec.structs.replace(
        point,
        quantity=quantity,
        x=point.x if x is None else x,
        paper=theirs,
        ours=ours,
        error=None if theirs is None else ours / theirs - 1,
        reading_error=0.0,
    )
