"""Synthetic agent trajectories with the statistics of the paper's Table 2 (paper section 5).

The table's columns are means over trajectories, and turns x (append + gen) exceeds the
total: long trajectories have short turns. That is what comes out when a session's length in
turns T and its length in tokens S are independent, as here:

- T is log-normal. As E[append + gen] = E[S / T] = E[S] exp(sigma^2) / E[T], its spread
  follows from the table.
- S is log-normal and cut off at MaxLen.
- the opening prompt (system prompt, tools, task) is a log-normal share of S; it lifts the
  mean context above S / 2.
- generated tokens are a logit-normal share of S.
- within a trajectory, tokens are dealt out to the turns with log-normal weights, so single
  appends and generations have the heavy tails of recorded ones (mean 3 to 4 x median).

The four numbers of a trajectory come from a Kronecker sequence with a random start instead
of independent draws: each trajectory alone has the same distribution, and 500 of them
meet the means within a few per cent for every seed. Tails beyond 2.7 sigma are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import NormalDist, fmean
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from plan.workload import Trajectory, Turn, steps

MaxLen = Literal["32K", "48K", "64K"]
Floats = npt.NDArray[np.float64]

MAX_TOKENS: dict[MaxLen, int] = {"32K": 32 * 1024, "48K": 48 * 1024, "64K": 64 * 1024}

_TOTAL_SIGMA = 0.35
_OPENING_SIGMA = 0.5
_GEN_SIGMA = 0.4
_WEIGHT_SIGMA = 1.3
_TAIL = 0.003  # of each normal, left out at either end: no single session makes a mean
_IRRATIONALS = np.array([(1 + np.sqrt(5)) / 2, np.sqrt(2), np.sqrt(7), np.sqrt(11)])
_LARGEST_OPENING = 0.6  # of all appended tokens
_FEWEST_TURNS = 4
_TOKENS_PER_TURN = 32  # at least, on average: bounds the turns of a trajectory
_FIT_SAMPLE = 8192
_FIT_ROUNDS = 60


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


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """The fitted parameters of one MaxLen.

    Attributes:
        turns_median, turns_sigma: of T.
        total_median: of S before it is cut off, as a share of MaxLen.
        opening_median: of the opening prompt as a share of S.
        gen_median: of generated tokens as a share of S.
    """

    turns_median: float
    turns_sigma: float
    total_median: float
    opening_median: float
    gen_median: float


FAMILIES: dict[MaxLen, Family] = {
    "32K": Family(
        turns_median=47.6537,
        turns_sigma=0.699686,
        total_median=0.966972,
        opening_median=0.226458,
        gen_median=0.188681,
    ),
    "48K": Family(
        turns_median=83.568,
        turns_sigma=0.710903,
        total_median=0.950588,
        opening_median=0.186015,
        gen_median=0.259476,
    ),
    "64K": Family(
        turns_median=120.424,
        turns_sigma=0.751314,
        total_median=0.922628,
        opening_median=0.169434,
        gen_median=0.284639,
    ),
}
"""What `fit` returns, kept so that generating needs no fitting."""


def fit(max_len: MaxLen) -> Family:
    """Fit the family to its row of Table 2.

    Each parameter is corrected by the miss of the column it governs until all columns meet;
    the columns of a candidate are computed in closed form over a fixed sample.
    """
    row, limit = TABLE_2[max_len], MAX_TOKENS[max_len]
    family = Family(
        turns_median=0.8 * row.turns,
        turns_sigma=0.7,
        total_median=1.0,
        opening_median=0.15,
        gen_median=row.gen / (row.gen + row.append),
    )
    points = _points(np.zeros(4), np.arange(_FIT_SAMPLE))
    for _ in range(_FIT_ROUNDS):
        made = _expected(_shapes(family, limit, points))
        shorter = (row.append + row.gen) / (made.append + made.gen)
        family = Family(
            turns_median=family.turns_median * row.turns / made.turns,
            turns_sigma=family.turns_sigma * shorter,
            total_median=family.total_median * (row.total / made.total) ** 2,
            opening_median=family.opening_median * (row.context / made.context) ** 4,
            gen_median=family.gen_median * row.gen / made.gen / shorter,
        )
    return family


def generate(max_len: MaxLen, agents: int, seed: int) -> list[Trajectory]:
    """`agents` trajectories of at most `max_len` tokens each, append-only.

    The same seed gives the same trajectories, and a larger `agents` begins with them.

    Raises:
        ValueError: unknown `max_len`, or a negative `agents` or `seed`.
    """
    return list(drawn(max_len, range(agents), seed))


def drawn(max_len: MaxLen, numbers: range, seed: int) -> Iterator[Trajectory]:
    """Those of these numbers, each when it is asked for; see `generate`."""
    if max_len not in MAX_TOKENS:
        raise ValueError(f"max_len: unknown {max_len!r}; use one of {', '.join(MAX_TOKENS)}")
    for field, value in (("agents", numbers.stop), ("seed", seed)):
        if value < 0:
            raise ValueError(f"{field} must be >= 0, not {value}")
    start = np.random.default_rng(seed).random(4)
    points = _points(start, np.asarray(numbers, np.int64))
    shapes = _shapes(FAMILIES[max_len], MAX_TOKENS[max_len], points)
    for i, number in enumerate(numbers):
        yield Trajectory(
            name=f"{max_len}-{seed}-{number}",
            turns=_turns(
                np.random.default_rng([seed, number]), *(int(column[i]) for column in shapes)
            ),
        )


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


class _Shapes(NamedTuple):
    """Tokens and turns of many trajectories, whole numbers: one array element each."""

    turns: Floats
    opening: Floats
    appended: Floats  # the opening included
    generated: Floats


def _points(start: Floats, index: npt.NDArray[np.int64]) -> Floats:
    """Points index of the 4-dimensional Kronecker sequence from `start`, [index, 4]."""
    fractions: Floats = (start + np.outer(index + 1, _IRRATIONALS)) % 1.0
    return fractions


def _shapes(family: Family, limit: int, points: Floats) -> _Shapes:
    quantile = np.vectorize(NormalDist().inv_cdf, otypes=[float])
    t, s, o, q = quantile(_TAIL + (1 - 2 * _TAIL) * points).T
    total = np.minimum(family.total_median * np.exp(_TOTAL_SIGMA * s), 1.0) * limit
    total = np.floor(np.maximum(total, _FEWEST_TURNS * _TOKENS_PER_TURN))
    turns = np.rint(family.turns_median * np.exp(family.turns_sigma * t))
    turns = np.clip(turns, _FEWEST_TURNS, total // _TOKENS_PER_TURN)
    odds = family.gen_median / (1 - family.gen_median) * np.exp(_GEN_SIGMA * q)
    generated = np.clip(np.rint(total * odds / (1 + odds)), turns, total // 2)
    appended = total - generated
    opening = total * family.opening_median * np.exp(_OPENING_SIGMA * o)
    opening = np.rint(np.minimum(opening, _LARGEST_OPENING * appended))
    return _Shapes(turns, opening, appended, generated)


def _expected(shapes: _Shapes) -> Table2Row:
    """Table 2 of trajectories of these shapes, expected over the dealing of tokens to turns.

    Before turn i (from 0) the context is the opening (i > 0), i generations and i - 1
    appends of mean size; summed over i and divided by the turns this is linear.
    """
    turns, opening, appended, generated = shapes
    context = generated * (turns - 1) / (2 * turns)
    context += opening * (turns - 1) / turns
    context += (appended - opening) * (turns - 2) / (2 * turns)
    return Table2Row(
        turns=float(turns.mean()),
        append=float((appended / turns).mean()),
        gen=float((generated / turns).mean()),
        total=float((appended + generated).mean()),
        context=float(context.mean()),
    )


def _turns(
    rng: np.random.Generator, turns: int, opening: int, appended: int, generated: int
) -> tuple[Turn, ...]:
    appends = [opening, *_deal(rng, appended - opening, turns - 1)]
    return tuple(map(Turn, appends, _deal(rng, generated, turns)))


def _deal(rng: np.random.Generator, tokens: int, turns: int) -> list[int]:
    """Log-normal parts of at least 1 that sum to `tokens`, for `turns` turns."""
    weights = np.cumsum(rng.lognormal(sigma=_WEIGHT_SIGMA, size=turns))
    edges = np.rint(weights / weights[-1] * (tokens - turns)).astype(int)
    return [int(part) for part in np.diff(edges, prepend=0) + 1]
