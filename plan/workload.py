"""What agents do: turns and trajectories, and what each turn asks for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """One turn: `append` new prompt tokens, then `gen` generated tokens (both >= 1).

    `keep` is how many tokens of the context so far the turn continues from; None keeps
    all of it (append-only). Less than all models a context reset or a branch.
    """

    append: int
    gen: int
    keep: int | None = None


class Trajectory(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's turns. `preloaded` tokens of context are in storage before the run."""

    name: str
    turns: tuple[Turn, ...]
    preloaded: int = 0


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
