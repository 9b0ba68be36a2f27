"""When agents arrive, and how long each of them thinks between its turns (paper section 5).

Everything is drawn from the plan's seed and the agent's number, so that whoever asks, in
either engine and under any system, gets the same agents.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Literal, NamedTuple

import msgspec

from plan.workload import Trajectory, Turn, resampled


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """Agents that do not start together.

    Attributes:
        rates: (from, agents per second), piecewise constant, by time; the last one holds on,
            before the first one nobody arrives. Empty: agents arrive as recorded, every
            trajectory once at its `start_s`.
        cv: coefficient of variation of the time between two arrivals at a constant rate:
            1 is Poisson, more is bursty.
        first_round: tokens of the synthetic round before a trajectory that is replayed again.
    """

    rates: tuple[tuple[float, float], ...] = ()
    cv: float = 1.0
    first_round: int = 128


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """The time from a turn's last token to the next turn's request, model seconds.

    Attributes:
        kind: recorded with the turns, or drawn; `mean_s` and `cv` are of what is drawn.
        scale: factor on all of them.
    """

    kind: Literal["recorded", "lognormal", "fixed"]
    mean_s: float = 0.0
    cv: float = 0.0
    scale: float = 1.0


class Arrival(NamedTuple):
    """An agent, by its number, and when it comes, model seconds."""

    number: int
    at_s: float


def arrivals(
    spec: Arrivals | None, trajectories: Sequence[Trajectory], seed: int
) -> Iterator[Arrival]:
    """All agents in the order in which they come; without end where they come at a rate.

    Args:
        spec: None: all start together.
    """
    if spec is None:
        return (Arrival(number, 0.0) for number in range(len(trajectories)))
    if not spec.rates:
        starts = sorted((t.start_s, number) for number, t in enumerate(trajectories))
        return (Arrival(number, start_s) for start_s, number in starts)
    return map(Arrival, count(), _times(spec, random.Random(f"arrivals {seed}")))


def trajectory_of(
    spec: Arrivals | None, trajectories: Sequence[Trajectory], seed: int, number: int
) -> Trajectory:
    """What an agent replays: the trajectories in order, then sampled ones without end, each
    behind a synthetic first round of its own."""
    if number < len(trajectories):
        return trajectories[number]
    assert spec is not None
    base = random.Random(f"agent {number} {seed}").choice(trajectories)
    return resampled(base, number, spec.first_round)


def gaps_s(spec: Gaps | None, turns: Sequence[Turn], seed: int, number: int) -> Iterator[float]:
    """How long an agent waits before each of its turns; never before the first."""
    if spec is None:
        return (0.0 for _ in turns)
    return (spec.scale * gap_s for gap_s in _gaps(spec, turns, seed, number))


def _gaps(spec: Gaps, turns: Sequence[Turn], seed: int, number: int) -> Iterator[float]:
    if spec.kind == "recorded":
        yield from (turn.gap_s if index else 0.0 for index, turn in enumerate(turns))
        return
    sigma = math.sqrt(math.log1p(spec.cv**2))
    mu = math.log(spec.mean_s) - sigma**2 / 2
    rng = random.Random(f"gaps {number} {seed}")
    for index, _ in enumerate(turns):
        drawn = spec.mean_s if spec.kind == "fixed" else rng.lognormvariate(mu, sigma)
        yield drawn if index else 0.0


def _times(spec: Arrivals, rng: random.Random) -> Iterator[float]:
    """A renewal process whose clock runs as fast as the rate: at rate 1 the time between two
    arrivals has mean 1 and the coefficient of variation that is asked for."""
    shape = 1 / spec.cv**2
    due = rng.gammavariate(shape, 1 / shape)
    passed = 0.0
    ends = [start_s for start_s, _ in spec.rates[1:]]
    for (now_s, rate), end_s in zip(spec.rates, [*ends, math.inf], strict=True):
        if not rate:
            continue
        while (at_s := now_s + (due - passed) / rate) < end_s:
            yield at_s
            now_s, passed = at_s, due
            due += rng.gammavariate(shape, 1 / shape)
        passed += (end_s - now_s) * rate
