"""What is in a trace: the columns of the paper's Table 2, hits, lengths over turns, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import msgspec
import numpy as np

from plan.workload import Step, Trajectory, steps
from scenarios.workload.generator import Table2Row, statistics
from scenarios.workload.stems import tokens_in
from scenarios.workload.trace import alone


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity's distribution."""

    mean: float
    p50: float
    p90: float
    max: float


class TurnFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that are their trajectories' turn of one number, from 1. Lengths are means,
    tokens; `hit_rate` of all their prompt tokens."""

    turn: int
    requests: int
    append: float
    gen: float
    context: float
    hit_rate: float


class TraceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A trace in figures.

    Attributes:
        table_2: means as the paper's Table 2 takes them, hits within a trajectory alone.
        trajectory: turns and total tokens of trajectories; request: lengths of requests, tokens.
        gap_s: before turns that are not a trajectory's first; None where none is recorded.
        hit_rate: of prompt tokens, within a trajectory alone; shared_hit_rate: with those
            that others had before.
        sharing: trajectories with such a prefix; shared_tokens: of them, in all.
        common_tokens: of all that several trajectories have, counted for each of them;
            common_once_tokens: as storage holds them, once.
        branches: turns that do not go on from all of the context; resets: from none of it.
        starts_s: from the first trajectory's start to the last one's, seconds.
        over_turns: the figures of each turn's number.
    """

    trajectories: int
    requests: int
    table_2: Table2Row
    trajectory: dict[str, Spread]
    request: dict[str, Spread]
    gap_s: Spread | None
    hit_rate: float
    shared_hit_rate: float
    sharing: int
    shared_tokens: int
    common_tokens: int
    common_once_tokens: int
    branches: int
    resets: int
    starts_s: float
    over_turns: list[TurnFigures]


def trace_figures(trajectories: Sequence[Trajectory]) -> TraceFigures:
    """The figures of a trace, as its reader yields it (`load(..., shared=True)`).

    Raises:
        ValueError: it has no trajectory.
    """
    own = [alone(trajectory) for trajectory in trajectories]
    walked = [list(steps(trajectory)) for trajectory in own]
    every = [step for walk in walked for step in walk]
    gaps = [turn.gap_s for trajectory in own for turn in trajectory.turns[1:]]
    kept = [turn.keep for trajectory in own for turn in trajectory.turns[1:]]
    prompt = sum(step.prompt for step in every)
    hit = sum(step.hit for step in every)
    shared = sum(_from_others(trajectory) for trajectory in trajectories)
    common, once = tokens_in(trajectories)
    starts_s = [trajectory.start_s for trajectory in own]
    return TraceFigures(
        trajectories=len(own),
        requests=len(every),
        table_2=statistics(own),
        trajectory={
            "turns": _spread([len(walk) for walk in walked]),
            "total": _spread([walk[-1].context for walk in walked]),
        },
        request={
            "append": _spread([step.prompt - step.hit for step in every]),
            "gen": _spread([step.context - step.prompt for step in every]),
            "context": _spread([step.hit for step in every]),
        },
        gap_s=_spread(gaps) if any(gaps) else None,
        hit_rate=hit / prompt,
        shared_hit_rate=(hit + shared) / prompt,
        sharing=sum(1 for trajectory in trajectories if trajectory.preloaded),
        shared_tokens=shared,
        common_tokens=common,
        common_once_tokens=once,
        branches=sum(1 for keep in kept if keep is not None),
        resets=sum(1 for keep in kept if keep == 0),
        starts_s=max(starts_s) - min(starts_s),
        over_turns=[
            _of_turn(number, [step for step in column if step is not None])
            for number, column in enumerate(zip_longest(*walked), start=1)
        ],
    )


def _from_others(trajectory: Trajectory) -> int:
    """Tokens of the first prompt that others had before."""
    return next(steps(trajectory)).hit


def _of_turn(number: int, column: Sequence[Step]) -> TurnFigures:
    hits, prompts = sum(s.hit for s in column), sum(s.prompt for s in column)
    return TurnFigures(
        turn=number,
        requests=len(column),
        append=(prompts - hits) / len(column),
        gen=sum(s.context - s.prompt for s in column) / len(column),
        context=hits / len(column),
        hit_rate=hits / prompts,
    )


def _spread(values: Sequence[float]) -> Spread:
    p50, p90 = np.percentile(values, [50, 90])
    return Spread(
        mean=float(np.mean(values)), p50=float(p50), p90=float(p90), max=float(max(values))
    )
