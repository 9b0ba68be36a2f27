"""What a sweep measured, beside what the bottleneck-free analysis says (paper section 2).

CNIC loads are in units of B s / g, the rate of a node's SNIC over the node's GPUs, so that
with all SNICs full and balanced they are 2 (PE read), 1 + D/P (PE write), 2 + P/D (DE read)
and 1 + 2 P/D (DE write). DRAM loads are in units of B s, an SNIC's rate: 2 (PE) and 3 + 2 P/D
(DE). They are taken where the run is in a steady state, else over the whole of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from plan.deployment import System
from plan.names import node_name
from scenarios.analysis import theory
from scenarios.configuration.schema import Cluster
from scenarios.configuration.systems import BASELINE, PROPOSED
from scenarios.planning.points import PD, Point
from scenarios.results.summary import CnicUse, SnicUse, Summary, SystemSummary

CNIC_DIRECTIONS = ("PE CNIC read", "PE CNIC write", "DE CNIC read", "DE CNIC write")
Place = Literal["inside", "edge", "outside"]
DRAMS = ("PE DRAM", "DE DRAM")
PE_SNIC, DE_SNIC, ALL_SNICS = "PE SNIC", "DE SNIC", "all SNICs"
FULL = 0.95
"""Read use of all SNICs from which on they are called full: the formulas' condition."""
_Sides = Mapping[str, Sequence[str]]
"""The names of the nodes of `PE` and `DE`."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and its prediction; None: the theory says nothing of this system."""

    measured: float
    theory: float | None

    @property
    def ratio(self) -> float | None:
        """Measured over theory; None without one, or where it is 0."""
        return self.measured / self.theory if self.theory else None


class SystemFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One system at one point.

    Attributes:
        jct_s: model seconds; speedup: the baseline's JCT over it.
        collectives: time in collectives over that of their bytes at a CNIC's rate; None
            where nothing is exchanged.
        verdict: on the measurement (`scenarios.results.fidelity`).
        snics: read use of the PE, the DE and all SNICs, as shares of their rates.
        loads: of a CNIC by direction, mean over the side's CNICs, units of B s / g; of a
            node's DRAM, mean over the side, units of B s.
        steady_s: where loads and SNIC use were taken, model seconds; None: the whole run.
            DRAM has counters for the whole run only, whose bytes per byte that an SNIC read
            are taken for the steady part's.
    """

    complete: bool
    verdict: str
    jct_s: float | None
    speedup: float | None
    snic_max_over_avg: float | None
    collectives: float | None
    snics: dict[str, Compared]
    loads: dict[str, Compared]
    steady_s: tuple[float, float] | None


class PointFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One point.

    Attributes:
        g, s: engines per node and SNIC rate of a node in CNICs'.
        cnic_capacity: rate of a CNIC in units of B s / g.
        dram_capacity: bandwidth of a node's DRAM in units of B s.
        place: of P/D in the band where all SNICs can be full: inside it, outside, or at its
            edge, where something else is just full too, which no queue of finite length keeps
            full.
        binding: the resources that are full at the most that both paths can read.
        error: what ended its run before all systems had their figures, if something did.
    """

    label: str
    directory: str
    values: dict[str, Any]
    prefill: int
    decode: int
    g: int
    s: float
    cnic_capacity: float
    dram_capacity: float
    place: Place
    binding: tuple[str, ...]
    error: str | None
    systems: dict[str, SystemFigures]

    @property
    def ratio(self) -> float:
        """P/D."""
        return self.prefill / self.decode


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs that the theory gives the same storage bandwidth (paper section 7, Fig 8).

    Attributes:
        difference: of the second JCT from the first, as a share of the first.
    """

    first: str
    second: str
    jct_s: tuple[float, float]
    difference: float


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """A whole sweep, as `sweep.json` holds it.

    Attributes:
        keys: what was swept. mean_speedup: over the baseline, by system, over complete points.
        worst_load_error: largest |measured / theory - 1| of a CNIC load of the proposed system
            inside the bottleneck-free band, over points whose SNICs were full; None without any.
    """

    name: str
    description: str
    engine: str
    keys: tuple[str, ...]
    complete: bool
    points: tuple[PointFigures, ...]
    pairs: tuple[Pair, ...]
    mean_speedup: dict[str, float]
    worst_load_error: float | None


class Ideal(NamedTuple):
    """What the theory says of one system, as `SystemFigures` has it measured."""

    snics: Mapping[str, float]
    loads: Mapping[str, float]


class Shape(NamedTuple):
    """A cluster as the theory sees it; `b`, `m` in bytes/s."""

    g: int
    s: float
    b: float
    m: float

    @classmethod
    def of(cls, cluster: Cluster) -> Shape:
        cnic = cluster.engine_cnic_bps
        snic, dram = cluster.node_snic_bps, cluster.node_dram_bytes_per_s
        return cls(cluster.engines_per_node, snic / cnic, cnic / 8, dram)

    @property
    def band(self) -> theory.Band:
        """Where all SNICs can be full."""
        return theory.band(self.g, self.s, self.b, self.m)

    def place(self, ratio: float) -> Place:
        """Where P/D lies."""
        band = self.band
        if math.isclose(ratio, band.lo) or math.isclose(ratio, band.hi):
            return "edge"
        return "inside" if ratio in band else "outside"

    def ideal(self, system: System, p: float, d: float) -> Ideal | None:
        """The most that a system can read, and the loads that go with full SNICs.

        Loads of the dual paths are those of full SNICs; Basic's are at the most it can read.
        """
        if not system.io:
            return None
        sb = self.s * self.b
        if system.paths == "pe":
            most = theory.basic(p, d, *self)
            loads = self._relative(theory.loads(most.pe_path, 0.0, p, d, self.g, self.b, self.m))
        else:
            most = theory.dual_path(p, d, *self)
            loads = self.loads(p, d)
        snics = {PE_SNIC: most.pe_path / (p * sb), DE_SNIC: most.de_path / (d * sb)}
        return Ideal(snics | {ALL_SNICS: most.snic_fraction}, loads)

    def loads(self, p: float, d: float) -> dict[str, float]:
        """The paper's formulas, with every SNIC full: outside the band they exceed capacities."""
        return self._relative(theory.predict(p, d, *self))

    def _relative(self, loads: Iterable[theory.Load]) -> dict[str, float]:
        sb = self.s * self.b
        return {
            one.resource: one.load * (1 if one.resource in DRAMS else self.g) / sb for one in loads
        }


def figures_of(point: Point, summary: Summary | None, error: str | None) -> PointFigures:
    """The figures of one point; `summary` None where it did not run."""
    cluster = point.scenario.cluster
    shape = Shape.of(cluster)
    p, d = cluster.prefill, cluster.decode
    measured = summary.systems if summary else {}
    return PointFigures(
        label=point.label,
        directory=point.directory,
        values=dict(point.values),
        prefill=p,
        decode=d,
        g=shape.g,
        s=shape.s,
        cnic_capacity=shape.g / shape.s,
        dram_capacity=shape.m / (shape.s * shape.b),
        place=shape.place(p / d),
        binding=theory.dual_path(p, d, *shape).binding,
        error=error,
        systems={
            system.name: _system(
                _sides(cluster),
                shape,
                shape.ideal(system, p, d),
                measured[system.name],
                summary.speedup_over_basic.get(system.name) if summary else None,
            )
            for system in point.scenario.compared
            if system.name in measured
        },
    )


def _system(
    sides: _Sides, shape: Shape, ideal: Ideal | None, summary: SystemSummary, speedup: float | None
) -> SystemFigures:
    steady, taken = summary.steady, summary.collectives
    snics, cnics = (steady.snic, steady.cnic) if steady else (summary.snic, summary.cnic)
    uses = _snics(sides, snics)
    loads = {name: use * shape.g / shape.s for name, use in _cnics(sides, cnics).items()}
    if uses:
        loads |= _drams(sides, summary, uses[ALL_SNICS])
    return SystemFigures(
        complete=summary.fidelity.complete,
        verdict=summary.fidelity.verdict,
        jct_s=summary.jct_s,
        speedup=speedup,
        snic_max_over_avg=summary.snic_max_over_avg,
        collectives=taken.total_s / taken.wire_s if taken and taken.wire_s else None,
        snics={
            name: Compared(measured=use, theory=ideal.snics[name] if ideal else None)
            for name, use in uses.items()
        },
        loads={
            name: Compared(measured=load, theory=ideal.loads[name] if ideal else None)
            for name, load in loads.items()
        },
        steady_s=(steady.start_s, steady.end_s) if steady else None,
    )


def _sides(cluster: Cluster) -> _Sides:
    return {
        "PE": [node_name("prefill", number) for number in range(cluster.prefill)],
        "DE": [node_name("decode", number) for number in range(cluster.decode)],
    }


def _snics(sides: _Sides, by_node: Mapping[str, SnicUse]) -> dict[str, float]:
    found = {}
    for name, nodes in ((PE_SNIC, sides["PE"]), (DE_SNIC, sides["DE"]), (ALL_SNICS, by_node)):
        if uses := [by_node[node].utilisation for node in nodes if node in by_node]:
            found[name] = float(np.mean(uses))
    return found


def _cnics(sides: _Sides, by_node: Mapping[str, Mapping[str, CnicUse]]) -> dict[str, float]:
    found = {}
    for side, nodes in sides.items():
        if mine := [use for node in nodes for use in by_node.get(node, {}).values()]:
            found[f"{side} CNIC read"] = float(np.mean([use.read_utilisation for use in mine]))
            found[f"{side} CNIC write"] = float(np.mean([use.write_utilisation for use in mine]))
    return found


def _drams(sides: _Sides, summary: SystemSummary, snic_use: float) -> dict[str, float]:
    """In units of B s: bytes of DRAM for each byte that an SNIC read, at its use."""
    read_bytes = float(np.mean([use.read_bytes for use in summary.snic.values()]))
    found = {}
    for side, nodes in sides.items() if read_bytes else ():
        if moved := [summary.dram[node].moved_bytes for node in nodes if node in summary.dram]:
            found[f"{side} DRAM"] = float(np.mean(moved)) / read_bytes * snic_use
    return found


def gather(
    name: str,
    description: str,
    points: Sequence[Point],
    summaries: Mapping[str, Summary],
    errors: Mapping[str, str],
) -> Sweep:
    """All points of a sweep.

    Args:
        summaries, errors: by the point's directory.
    """
    found = [
        figures_of(point, summaries.get(point.directory), errors.get(point.directory))
        for point in points
    ]
    systems = [system for system in points[0].scenario.compared if system.name != BASELINE]
    speedups = {
        system.name: [
            gained
            for point in found
            if system.name in point.systems and (gained := point.systems[system.name].speedup)
        ]
        for system in systems
    }
    return Sweep(
        name=name,
        description=description,
        engine=points[0].scenario.engine,
        keys=tuple(points[0].values),
        complete=all(
            _complete(point, figures) for point, figures in zip(points, found, strict=True)
        ),
        points=tuple(found),
        pairs=tuple(pairs(points, found)),
        mean_speedup={name: float(np.mean(gained)) for name, gained in speedups.items() if gained},
        worst_load_error=_worst_load_error(found),
    )


def _complete(point: Point, figures: PointFigures) -> bool:
    served = [system for system in figures.systems.values() if system.complete]
    return figures.error is None and len(served) == len(point.scenario.compared)


def _worst_load_error(found: Sequence[PointFigures]) -> float | None:
    errors = [
        abs(load.ratio - 1)
        for point in found
        if point.place == "inside" and (figures := point.systems.get(PROPOSED))
        if figures.snics[ALL_SNICS].measured >= FULL
        for name, load in figures.loads.items()
        if name in CNIC_DIRECTIONS and load.ratio is not None
    ]
    return max(errors, default=None)


class _Entry(NamedTuple):
    point: Point
    system: System
    bandwidth: float
    jct_s: float

    @property
    def name(self) -> str:
        return f"{self.system.name} {self.point.label}"

    def comparable(self, other: _Entry) -> bool:
        """Other points, alike but for P and D, whose systems can read equally fast."""
        names = {self.system.name, other.system.name}
        rest = [
            {key: value for key, value in entry.point.values.items() if key != PD}
            for entry in (self, other)
        ]
        return (
            self.point is not other.point
            and (len(names) == 1 or names == {BASELINE, PROPOSED})
            and rest[0] == rest[1]
            and math.isclose(self.bandwidth, other.bandwidth)
        )


def pairs(points: Sequence[Point], found: Sequence[PointFigures]) -> list[Pair]:
    """Runs that have the same storage bandwidth to use, by the theory, at different P and D."""
    entries = []
    for point, figures in zip(points, found, strict=True):
        cluster = point.scenario.cluster
        for system in point.scenario.compared:
            measured = figures.systems.get(system.name)
            if not system.io or measured is None or not measured.complete or not measured.jct_s:
                continue
            most = theory.basic if system.paths == "pe" else theory.dual_path
            total = most(cluster.prefill, cluster.decode, *Shape.of(cluster)).total
            entries.append(_Entry(point, system, total, measured.jct_s))
    return [
        Pair(
            first=a.name, second=b.name, jct_s=(a.jct_s, b.jct_s), difference=b.jct_s / a.jct_s - 1
        )
        for a, b in combinations(entries, 2)
        if a.comparable(b)
    ]
