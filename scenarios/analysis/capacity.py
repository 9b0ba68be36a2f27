"""The largest arrival rate at which a system keeps its SLO (paper section 7.4): which rates to
try, and what was found. Pure: it is told how tries went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from scenarios.configuration.systems import BASELINE

GROWTH = 2.0
"""Factor between two rates while no pair has the capacity between them."""
WIDEST = 64.0
"""The search ends so many times above or below the rate that it began with."""
DIGITS = 4
"""Of a rate, so that its text is short and gives the same rate."""
UNDECIDED = "undecided"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A system at one arrival rate; times are means over the measured window, model seconds.

    Attributes:
        aps: agents that arrive a second.
        slo_met: None where it has no figures, because of `error`, or is undecided.
        verdict: on the measurement, or `UNDECIDED`: the SLO was kept, but TTFT still rose when
            the run ended; ended_by: what ended it.
        ttft_parts_s: see `scenarios.results.latencies`.
        working_set_bytes, working_set_formula_bytes: see `scenarios.results.working_set`.
    """

    aps: float
    ttft_s: float | None = None
    ttst_s: float | None = None
    tpot_s: float | None = None
    agent_jct_s: float | None = None
    slo_met: bool | None = None
    verdict: str | None = None
    ended_by: str | None = None
    error: str | None = None
    ttft_parts_s: dict[str, float] = {}
    requests: int = 0
    agents: float | None = None
    working_set_bytes: float | None = None
    working_set_formula_bytes: float | None = None

    @property
    def said(self) -> str:
        """Of the SLO, in a word; nothing where there are no figures."""
        if self.slo_met is None:
            return UNDECIDED if self.verdict == UNDECIDED else ""
        return "kept" if self.slo_met else "missed"


class SystemCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one system.

    Attributes:
        capacity_aps: the largest rate tried that keeps the SLO, below every rate tried that
            does not or is undecided; None: there is none.
        missed_aps: the smallest rate tried that does not; None: there is none.
        undecided_aps: the smallest rate tried that is undecided; None: there is none.
        points: by rate.
    """

    capacity_aps: float | None
    missed_aps: float | None
    undecided_aps: float | None
    points: tuple[Point, ...]


class Capacities(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of all systems; gains are ratios of capacities."""

    systems: dict[str, SystemCapacity]
    gain_over_basic: dict[str, float]


def conclude(points: Mapping[str, Sequence[Point]]) -> Capacities:
    """From all points by system to capacities."""
    systems = {name: _capacity(found) for name, found in points.items()}
    base = systems[BASELINE].capacity_aps if BASELINE in systems else None
    gains = {
        name: found.capacity_aps / base
        for name, found in systems.items()
        if base and found.capacity_aps is not None
    }
    return Capacities(systems=systems, gain_over_basic=gains)


def _capacity(points: Sequence[Point]) -> SystemCapacity:
    kept, _ = bracket(points)
    return SystemCapacity(
        capacity_aps=kept,
        missed_aps=_smallest(points, "missed"),
        undecided_aps=_smallest(points, UNDECIDED),
        points=tuple(sorted(points, key=lambda point: point.aps)),
    )


def bracket(points: Sequence[Point]) -> tuple[float | None, float | None]:
    """The largest rate that keeps the SLO below all that miss it or are undecided, and the
    smallest of those."""
    beyond = _smallest(points, "missed", UNDECIDED)
    kept = [p.aps for p in points if p.slo_met and (beyond is None or p.aps < beyond)]
    return max(kept, default=None), beyond


def _smallest(points: Sequence[Point], *said: str) -> float | None:
    return min((point.aps for point in points if point.said in said), default=None)


def at_capacity(one: SystemCapacity) -> Point | None:
    """The run at the capacity, if there is one."""
    return next((point for point in one.points if point.aps == one.capacity_aps), None)


def of_grid(rates: Sequence[float], points: Sequence[Point], count: int) -> list[float]:
    """The next rates of a given grid, at most so many; none beyond one that misses the SLO."""
    missed = _smallest(points, "missed")
    tried = {point.aps for point in points}
    left = [rate for rate in sorted(set(rates)) if rate not in tried]
    return [rate for rate in left if missed is None or rate < missed][:count]


def of_search(start: float, precision: float, points: Sequence[Point], count: int) -> list[float]:
    """The next rates of a search: doubling or halving until the capacity lies between two, then
    equal parts of what lies between, until that is a share `precision` of the upper one.

    An undecided rate counts as one that misses, on the safe side. A rate without figures ends
    the search of its system: there is nothing to go by.
    """
    tried = {point.aps for point in points}
    found = [rate for rate in _searched(start, precision, points, count) if rate not in tried]
    return [] if any(not point.said for point in points) else found[:count]


def _searched(
    start: float, precision: float, points: Sequence[Point], count: int
) -> Iterator[float]:
    kept, beyond = bracket(points)
    if kept is None and beyond is None:
        yield from map(rounded, _growing(start, count))
    elif beyond is None:
        assert kept is not None
        wanted = _growing(kept * GROWTH, count)
        yield from (rounded(rate) for rate in wanted if rate <= start * WIDEST)
    elif kept is None:
        wanted = [beyond / GROWTH ** (i + 1) for i in range(count)]
        yield from (rounded(rate) for rate in wanted if rate >= start / WIDEST)
    elif beyond - kept > precision * beyond:
        yield from (rounded(kept + (beyond - kept) * i / (count + 1)) for i in range(1, count + 1))


def _growing(first: float, count: int) -> list[float]:
    return [first * GROWTH**i for i in range(count)]


def directory(system: str, rate: float) -> str:
    """The name of a run's directory."""
    return f"{system}-{digits(rate)}"


def digits(rate: float) -> str:
    """A rate without an exponent."""
    return np.format_float_positional(rate, trim="-")


def rounded(rate: float) -> float:
    """To `DIGITS` digits."""
    return float(f"{rate:.{DIGITS}g}")
