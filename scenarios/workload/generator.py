"""Synthetic agent trajectories with the statistics of the paper's Table 2 (paper section 5).

The table's columns are means over trajectories, those of a turn over a trajectory's own turns
first, and turns x (append + gen) is 1.6 to 1.7 times the total: many trajectories are over
after a few turns, and early turns are long. So here:

- What a trajectory has appended grows as a power of its turns, with about half a power: it
  reads first and works with what it has read afterwards.
- Generations are short in the first turns and then of one length.
- Trajectories differ in how much they append and generate (log-normal). Each has an end of
  its own, its turn Weibull-distributed with a falling hazard; three in four are not yet there
  when they are cut off at MaxLen.
- Single appends and generations are log-normal about their means, heavy-tailed as recorded
  ones are.

One family has made all three rows: they differ in MaxLen, and by less than 10 % in the two
lengths of `ROWS`. Its constants are a least-squares fit to the 15 columns of the table and to two
facts of the paper's Fig 15: an agent with MaxLen 48K sends 3.12 M prompt tokens in all, and how
many agents still run by the time that a share of all prompt tokens has been served.

The three numbers of a trajectory come from a Kronecker sequence with a random start instead
of independent draws: each trajectory alone has the same distribution, and 500 of them
meet the means within a few per cent for every seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import NormalDist, fmean
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from plan.workload import Trajectory, Turn, steps

MaxLen = Literal["32K", "48K", "64K"]
Floats = npt.NDArray[np.float64]

MAX_TOKENS: dict[MaxLen, int] = {"32K": 32 * 1024, "48K": 48 * 1024, "64K": 64 * 1024}

DATASET = 500
"""Trajectories of each of the paper's datasets; agents beyond them replay one of them again."""

_GROWTH = 0.4905  # power of turns that appended tokens grow with
_GEN_START = 0.338  # by so much of their later length first generations are shorter
_GEN_RISE_TURNS = 24.1
_APPEND_SIGMA = 0.276  # over trajectories
_GEN_SIGMA = 0.63
_GEN_COUPLING = 0.472  # power of a trajectory's factor on appends that its generations share
_END_TURNS = 5193.0  # Weibull scale and shape of a trajectory's own end
_END_SHAPE = 0.39
_APPEND_NOISE = 0.9  # over the turns of a trajectory
_GEN_NOISE = 1.2
_OPENING_NOISE = 0.2  # of the first append: system prompt, tools and task
_TAIL = 0.02  # of each normal over trajectories, left out at either end: none makes a mean
_IRRATIONALS = np.array([(1 + np.sqrt(5)) / 2, np.sqrt(2), np.sqrt(7)])
_CHUNK = 128


class Table2Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the paper's Table 2. All are means over trajectories; `append`, `gen` and
    `context` (tokens before the append) are means over a trajectory's turns first."""

    turns: float
    append: float
    gen: float
    total: float
    context: float


TABLE_2: dict[MaxLen, Table2Row] = {
    "32K": Table2Row(turns=60, append=608, gen=148, total=28639, context=17183),
    "48K": Table2Row(turns=106, append=474, gen=172, total=42607, context=25120),
    "64K": Table2Row(turns=157, append=429, gen=176, total=55958, context=32721),
}
"""The paper's figures."""


class Lengths(msgspec.Struct, frozen=True):
    """Mean tokens of a dataset's first append, and of its later generations."""

    append: float
    gen: float


ROWS: dict[MaxLen, Lengths] = {
    "32K": Lengths(append=3110.0, gen=152.0),
    "48K": Lengths(append=2941.0, gen=168.1),
    "64K": Lengths(append=2950.0, gen=166.4),
}


def generate(max_len: MaxLen, agents: int, seed: int) -> list[Trajectory]:
    """All that are `drawn`.

    Raises:
        ValueError: as there.
    """
    return list(drawn(max_len, agents, seed))


def drawn(max_len: MaxLen, agents: int, seed: int) -> Iterator[Trajectory]:
    """`agents` trajectories of at most `max_len` tokens each, append-only; each is drawn when it
    is asked for.

    The same seed gives the same trajectories, and a larger `agents` begins with them.

    Raises:
        ValueError: unknown `max_len`, or a negative `agents` or `seed`.
    """
    if max_len not in MAX_TOKENS:
        raise ValueError(f"max_len: unknown {max_len!r}; use one of {', '.join(MAX_TOKENS)}")
    for field, value in (("agents", agents), ("seed", seed)):
        if value < 0:
            raise ValueError(f"{field} must be >= 0, not {value}")
    start = np.random.default_rng(seed).random(3)
    fractions = (start + np.outer(np.arange(1, agents + 1), _IRRATIONALS)) % 1.0
    return (
        Trajectory(
            name=f"{max_len}-{seed}-{i}",
            turns=_turns(np.random.default_rng([seed, i]), max_len, *map(float, point)),
        )
        for i, point in enumerate(fractions)
    )


def cut(turns: Sequence[Turn], max_tokens: int) -> tuple[Turn, ...]:
    """The leading turns of an append-only trajectory with at most `max_tokens` in all; of a
    first turn that is longer by itself, what fits."""
    context, kept = 0, 0
    for turn in turns:
        context += turn.append + turn.gen
        if context > max_tokens:
            break
        kept += 1
    if turns and not kept:
        gen = min(turns[0].gen, max_tokens // 2)
        return (Turn(max_tokens - gen, gen),)
    return tuple(turns[:kept])


def statistics(trajectories: Sequence[Trajectory]) -> Table2Row:
    """The row of Table 2 that these trajectories make.

    Raises:
        ValueError: there are none, or one has no turns.
    """
    if not trajectories or not all(trajectory.turns for trajectory in trajectories):
        raise ValueError("trajectories: need at least one, each with at least one turn")
    walked = [list(steps(trajectory)) for trajectory in trajectories]
    return Table2Row(
        turns=fmean(len(walk) for walk in walked),
        append=fmean(fmean(step.prompt - step.hit for step in walk) for walk in walked),
        gen=fmean(fmean(step.context - step.prompt for step in walk) for walk in walked),
        total=fmean(walk[-1].context for walk in walked),
        context=fmean(fmean(step.hit for step in walk) for walk in walked),
    )


def _turns(
    rng: np.random.Generator, max_len: MaxLen, append: float, gen: float, end: float
) -> tuple[Turn, ...]:
    """The turns of one trajectory, cut off at MaxLen.

    Args:
        append, gen, end: uniform numbers that tell it from others, 0 to 1.
    """
    limit = MAX_TOKENS[max_len]
    own_end = np.ceil(_END_TURNS * (-np.log1p(-end)) ** (1 / _END_SHAPE))
    turns: list[Turn] = []
    tokens = 0
    for chunk in _endless(rng, ROWS[max_len], _factor(append, _APPEND_SIGMA), gen):
        turns += chunk
        tokens += sum(turn.append + turn.gen for turn in chunk)
        if tokens > limit or len(turns) >= own_end:
            break
    return cut(turns[: int(max(1, min(own_end, len(turns))))], limit)


def _endless(
    rng: np.random.Generator, lengths: Lengths, factor: float, gen: float
) -> Iterator[list[Turn]]:
    """A trajectory without an end, so many turns at a time.

    Args:
        factor: on its appends; gen: uniform number for its generations, 0 to 1.
    """
    gen_factor = _factor(gen, _GEN_SIGMA) * factor**_GEN_COUPLING
    done = 0
    while True:
        before = np.arange(done, done + _CHUNK, dtype=float)
        appends = factor * lengths.append * ((before + 1) ** _GROWTH - before**_GROWTH)
        gens = gen_factor * lengths.gen * (1 - _GEN_START * np.exp(-before / _GEN_RISE_TURNS))
        appends *= _noise(rng, np.where(before > 0, _APPEND_NOISE, _OPENING_NOISE))
        gens *= _noise(rng, np.full(_CHUNK, _GEN_NOISE))
        yield list(map(Turn, _whole(appends), _whole(gens)))
        done += _CHUNK


def _factor(uniform: float, sigma: float) -> float:
    """Log-normal with median 1, its tails left out."""
    return float(np.exp(sigma * NormalDist().inv_cdf(_TAIL + (1 - 2 * _TAIL) * uniform)))


def _noise(rng: np.random.Generator, sigma: Floats) -> Floats:
    """Log-normal with mean 1, for every turn of a chunk."""
    return rng.lognormal(-sigma * sigma / 2, sigma)


def _whole(tokens: Floats) -> list[int]:
    return [int(value) for value in np.maximum(np.rint(tokens), 1.0)]
