"""KV-Cache of the agents that are alive, beside the paper's formula (section 8.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from plan.model import Plan
from scenarios.results.measured import Life, Measured
from scenarios.results.steps import Steps, steps


class WorkingSet(msgspec.Struct, frozen=True, kw_only=True):
    """What agents alive will ask for again, within the measured window; model bytes.

    Attributes:
        mean_bytes, largest_bytes: measured, from the contexts of the agents alive.
        formula_bytes: a prediction from the figures below, `arrivals_per_s` x `agent_jct_s` x
            `agent_bytes` / 2; None where agents start together or none has ended.
        agents: alive, in the mean; arrivals_per_s: agents that came.
        agent_jct_s, agent_bytes: mean JCT, and mean KV-Cache at the end, of agents that ended.
    """

    mean_bytes: float
    largest_bytes: float
    formula_bytes: float | None
    agents: float
    arrivals_per_s: float
    agent_jct_s: float | None
    agent_bytes: float | None


def working_set(plan: Plan, measured: Measured) -> WorkingSet | None:
    """Measure it; None where nothing was done."""
    if measured.span_s <= 0:
        return None
    window = measured.from_s, measured.to_s
    held, alive = held_bytes(plan, measured.lives), agents_alive(measured.lives)
    jct_s = size = formula = None
    if ended := measured.ended:
        jct_s = float(np.mean(measured.jcts_s))
        size = float(np.mean([life.tokens for life in ended])) * plan.model.token_bytes
        if plan.arrivals is not None:
            formula = measured.arrivals_per_s * jct_s * size / 2
    return WorkingSet(
        mean_bytes=held.mean(*window),
        largest_bytes=held.largest(*window),
        formula_bytes=formula,
        agents=alive.mean(*window),
        arrivals_per_s=measured.arrivals_per_s,
        agent_jct_s=jct_s,
        agent_bytes=size,
    )


def agents_alive(lives: Sequence[Life]) -> Steps:
    """How many agents have come and have turns left."""
    came = [(life.start_s, 1.0) for life in lives]
    return steps([*came, *((life.end_s, -1.0) for life in lives if life.end_s is not None)])


def held_bytes(plan: Plan, lives: Sequence[Life]) -> Steps:
    """KV-Cache of the agents alive, model bytes: of an agent that of its context, from the end
    of a turn on, and none from the end of its last turn on."""
    return steps(
        (t_s, tokens * plan.model.token_bytes) for life in lives for t_s, tokens in _changes(life)
    )


def _changes(life: Life) -> Iterator[tuple[float, float]]:
    # what it had in storage before it came
    context = life.turns[0].hit_tokens
    yield life.start_s, context
    for turn in life.turns:
        if turn.done_s is None:
            return
        now = turn.prompt_tokens + turn.gen_tokens
        yield turn.done_s, now - context
        context = now
    if life.end_s is not None:
        yield life.end_s, -context
