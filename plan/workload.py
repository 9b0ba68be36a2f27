"""What agents do: turns and trajectories, and what each turn asks for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Turn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One turn: `append` new prompt tokens, then `gen` generated tokens (both >= 1).

    `keep` is how many tokens of the context so far the turn continues from; None keeps
    all of it (append-only). Less than all models a context reset or a branch. `gap_s` is the
    recorded time from the last token of the turn before to this turn's request, seconds.
    """

    append: int
    gen: int
    keep: int | None = None
    gap_s: float = 0.0


Stems = tuple[tuple[int, int], ...]
"""Whose the first tokens of a context are: stem by stem, its number and its end (exclusive), which
is where the next one begins. A stem is a piece of context that several agents have in common, a
system prompt or a parent's turns; a number and a place in the context say what stands there."""


class Trajectory(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's turns. `preloaded` tokens of context are in storage before it arrives, which
    was `start_s` seconds after the first agent of its trace. What it has of `stems` others have,
    too, and it is stored once; the rest is its own."""

    name: str
    turns: tuple[Turn, ...]
    preloaded: int = 0
    start_s: float = 0.0
    stems: Stems = ()


class Step(msgspec.Struct, frozen=True):
    """A turn in absolute tokens: `hit` tokens of earlier context start a prompt of `prompt`
    tokens; with the generation the context is `context` long."""

    hit: int
    prompt: int
    context: int


def steps(trajectory: Trajectory) -> Iterator[Step]:
    """The turns of a trajectory in absolute tokens.

    Raises:
        ValueError: a turn keeps more than the context so far.
    """
    context = trajectory.preloaded
    for i, turn in enumerate(trajectory.turns):
        hit = context if turn.keep is None else turn.keep
        if not 0 <= hit <= context:
            raise ValueError(
                f"keep: turn {i} of {trajectory.name} keeps {hit} tokens of a context of "
                f"{context}; use 0 <= keep <= context"
            )
        prompt = hit + turn.append
        context = prompt + turn.gen
        yield Step(hit, prompt, context)


def resampled(trajectory: Trajectory, number: int, first_tokens: int) -> Trajectory:
    """The trajectory as another agent's, behind a synthetic first round of `first_tokens` random
    tokens and one generated token (paper section 5).

    Where the trajectory goes on from a stored context, the round is part of what is stored.
    """
    shift = first_tokens + 1
    preloaded = trajectory.preloaded + shift if trajectory.preloaded else 0
    turns = [] if preloaded else [Turn(first_tokens, 1)]
    for i, turn in enumerate(trajectory.turns):
        keep = turn.keep
        if not preloaded and i == 0:
            keep = None  # goes on from the synthetic round, whatever it said of nothing
        elif keep == 0:
            shift = 0  # a reset drops the synthetic round too
        elif keep is not None:
            keep += shift
        turns.append(Turn(turn.append, turn.gen, keep, turn.gap_s))
    return Trajectory(
        name=f"{trajectory.name}+{number}",
        turns=tuple(turns),
        preloaded=preloaded,
        start_s=trajectory.start_s,
    )
