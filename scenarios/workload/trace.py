"""Agent trajectories (paper section 5): loaded, measured out, cut into windows, extended.

A trajectory is one chain of tokens: turn i keeps a prefix of the context so far (usually
all of it), appends prompt tokens and generates. Hits are found within a trajectory only, unless
what it shares with others is asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import msgspec

from plan.errors import TraceError
from plan.workload import Trajectory, Turn, resampled, steps
from scenarios.workload import trace_files
from scenarios.workload.stems import cut, in_common
from scenarios.workload.trace_formats import READERS, Format, Reader


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a recorded trace to use; the defaults use all of it.

    Attributes:
        min_turns: trajectories shorter than this (after the cuts below) are dropped.
        max_turns: later turns are cut off.
        max_gen: longer generations are shortened to this, tokens; the context of later
            turns shrinks with them.
        max_context: a trajectory ends before the turn whose context, generation included,
            would exceed this, tokens.

    Raises:
        ValueError: one of them is below 1.
    """

    min_turns: int = 1
    max_turns: int | None = None
    max_gen: int | None = None
    max_context: int | None = None

    def __post_init__(self) -> None:
        for field in ("min_turns", "max_turns", "max_gen", "max_context"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise ValueError(f"{field} must be >= 1, not {value}; leave it out for no limit")


def load(
    path: Path,
    format: Format | Reader,
    selection: Selection | None = None,
    *,
    shared: bool = False,
) -> list[Trajectory]:
    """Load a recorded trace, gzipped or not. What each format loses: see `trace_formats`.

    Args:
        path: the trace file; for kv-cache-tester-raw a file or a folder of them.
        format: who recorded it, or what reads it.
        selection: which part of it to use (default: all).
        shared: what others had of a trajectory's first prompt is in storage before it begins;
            otherwise it has to append that, too.

    Raises:
        TraceError: the trace is missing, unreadable, malformed or beyond a bound of
            `trace_files` and `trace_formats`; names file, line, field.
        ValueError: unknown format.
    """
    if isinstance(format, str) and format not in READERS:
        raise ValueError(f"format: unknown {format!r}; use one of {', '.join(READERS)}")
    selection = selection or Selection()
    reader = READERS[format] if isinstance(format, str) else format
    read = (one if shared else alone(one) for one in _bounded(path, reader))
    selected = (_select(trajectory, selection) for trajectory in read)
    return in_common([one for one in selected if len(one.turns) >= selection.min_turns])


def _bounded(path: Path, reader: Reader) -> Iterator[Trajectory]:
    turns = 0
    for trajectory in reader(path):
        turns += len(trajectory.turns)
        if turns > trace_files.MAX_TURNS:
            raise TraceError(f"{path}: more than {trace_files.MAX_TURNS} turns: take a part of it")
        yield trajectory


def alone(trajectory: Trajectory) -> Trajectory:
    """The trajectory with a cache of its own: what it found in storage it appends itself."""
    if not (trajectory.preloaded or trajectory.stems):
        return trajectory
    first, *others = trajectory.turns
    kept = trajectory.preloaded if first.keep is None else first.keep
    first = msgspec.structs.replace(first, append=kept + first.append, keep=None)
    return msgspec.structs.replace(trajectory, turns=(first, *others), preloaded=0, stems=())


def sharing(trajectory: Trajectory, tokens: int) -> Trajectory:
    """The trajectory with at least that much of its first prompt in storage before it begins,
    but for a token, say because all agents have one system prompt."""
    own = alone(trajectory)
    first, *others = own.turns
    tokens = max(min(tokens, first.append - 1), trajectory.preloaded)
    first = msgspec.structs.replace(first, append=first.append - tokens)
    return msgspec.structs.replace(own, turns=(first, *others), preloaded=tokens)


def window(trajectory: Trajectory, skip: int, count: int) -> Trajectory:
    """Turns [skip, skip + count), the context before them being in storage already.

    `keep` counts from the start of the context, so it stays as it is.

    Raises:
        ValueError: the trajectory has no such turns.
    """
    turns = len(trajectory.turns)
    if skip < 0 or count < 1 or skip + count > turns:
        raise ValueError(
            f"skip, count: {trajectory.name} has {turns} turns and no window of {count} from "
            f"{skip}; use skip >= 0, count >= 1, skip + count <= {turns}"
        )
    contexts = [trajectory.preloaded, *(step.context for step in steps(trajectory))]
    stems = trajectory.stems
    for turn in trajectory.turns[:skip]:
        stems = stems if turn.keep is None else cut(stems, turn.keep)
    return msgspec.structs.replace(
        trajectory,
        name=f"{trajectory.name}[{skip}:{skip + count}]",
        turns=trajectory.turns[skip : skip + count],
        preloaded=contexts[skip],
        stems=stems,
    )


def extend(
    trajectories: Sequence[Trajectory], n: int, seed: int, first_tokens: int
) -> list[Trajectory]:
    """`n` agents: the given ones first, then extra ones made as in paper section 5.

    An extra agent samples a trajectory and puts a synthetic first round of `first_tokens`
    random tokens with one generated token before it, so nothing of it hits what another
    agent stored; where the trajectory starts from stored context, the round is part of that.
    A larger `n` with the same seed begins with the same agents.

    Raises:
        ValueError: nothing to sample from, or `first_tokens` < 1.
    """
    if first_tokens < 1:
        raise ValueError(f"first_tokens must be >= 1, not {first_tokens}")
    if n > len(trajectories) == 0:
        raise ValueError(f"trajectories: none to make {n} agents from; load or generate some")
    rng = random.Random(seed)
    sampled = [rng.choice(trajectories) for _ in range(n - len(trajectories))]
    extra = [resampled(t, number, first_tokens) for number, t in enumerate(sampled)]
    return [*trajectories[:n], *extra]


def _select(trajectory: Trajectory, selection: Selection) -> Trajectory:
    turns = trajectory.turns[: selection.max_turns]
    if selection.max_gen is not None:
        turns = _shorten_generations(turns, selection.max_gen, trajectory.preloaded)
    selected = msgspec.structs.replace(trajectory, turns=turns)
    limit = selection.max_context
    if limit is None:
        return selected
    fitting = sum(1 for _ in takewhile(lambda step: step.context <= limit, steps(selected)))
    return msgspec.structs.replace(selected, turns=turns[:fitting])


def _shorten_generations(turns: Sequence[Turn], max_gen: int, context: int) -> tuple[Turn, ...]:
    """Cap generations; a later `keep` loses the tokens that were cut out below it."""
    cuts: list[tuple[int, int]] = []  # (start, length) of what is gone, in recorded tokens
    shortened = []
    for turn in turns:
        kept = context if turn.keep is None else turn.keep
        cuts = [(start, min(length, kept - start)) for start, length in cuts if start < kept]
        keep = None if turn.keep is None else kept - sum(length for _, length in cuts)
        shortened.append(Turn(turn.append, min(turn.gen, max_gen), keep, turn.gap_s))
        end = kept + turn.append
        context = end + turn.gen
        if turn.gen > max_gen:
            cuts.append((end + max_gen, turn.gen - max_gen))
    return tuple(shortened)
