"""The ends of the bottleneck-free band as a sweep measured them (paper section 2).

Within the band every storage NIC is full, and the load of the resource that ends the band
rises along the theory's line; beyond, the resource is full and its load stays. Where that
line, through the loads measured inside, meets the level measured beyond is the knee. Both are
measured; the theory gives the line's form only.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

import msgspec
import numpy as np

from scenarios.analysis.sweep_figures import ALL_SNICS, FULL, PointFigures, Shape, Sweep
from scenarios.configuration.systems import PROPOSED
from scenarios.planning.points import Point

REACH = 100.0
"""How far from the band's end the knee is looked for, as a factor either way."""


class Knee(msgspec.Struct, frozen=True, kw_only=True):
    """One end of the band of nodes of g GPUs with SNICs of s CNICs' rate.

    Attributes:
        resource: what is full beyond it.
        theory, measured: P/D.
    """

    g: int
    s: float
    end: Literal["lower", "upper"]
    resource: str
    theory: float
    measured: float

    @property
    def error(self) -> float:
        """Of the measured knee, as a share of the theory's."""
        return self.measured / self.theory - 1


def knees(sweep: Sweep, points: Sequence[Point]) -> list[Knee]:
    """Every end that has a point beyond it and one with full SNICs inside."""
    shapes: dict[Shape, list[PointFigures]] = {}
    for point, figures in zip(points, sweep.points, strict=True):
        if PROPOSED in figures.systems:
            shapes.setdefault(Shape.of(point.scenario.cluster), []).append(figures)
    found = [
        _knee(shape, end, measured)
        for shape, measured in shapes.items()
        for end in ("lower", "upper")
    ]
    return [knee for knee in found if knee is not None]


def _knee(
    shape: Shape, end: Literal["lower", "upper"], points: Sequence[PointFigures]
) -> Knee | None:
    band = shape.band
    lower = end == "lower"
    theory = band.lo if lower else band.hi
    resource = (band.lo_resources if lower else band.hi_resources)[0]
    rise = [
        load.ratio
        for point in points
        if point.place == "inside" and point.systems[PROPOSED].snics[ALL_SNICS].measured >= FULL
        if (load := point.systems[PROPOSED].loads.get(resource)) and load.ratio
    ]
    level = [
        load.measured
        for point in points
        if point.place == "outside" and (point.ratio < theory) == lower
        if (load := point.systems[PROPOSED].loads.get(resource))
    ]
    if not rise or not level:
        return None
    return Knee(
        g=shape.g,
        s=shape.s,
        end=end,
        resource=resource,
        theory=theory,
        measured=_crossing(shape, resource, theory, max(level) / fmean(rise)),
    )


def _crossing(shape: Shape, resource: str, theory: float, level: float) -> float:
    """The P/D at which the theory's load of a resource is `level`."""
    ratios = theory * np.geomspace(1 / REACH, REACH, 4001)
    loads = [shape.loads(float(ratio), 1.0)[resource] for ratio in ratios]
    order = np.argsort(loads)
    return float(np.interp(level, np.array(loads)[order], ratios[order]))
