"""The trajectories of a run: drawn or read from a trace, scaled, cut and extended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from statistics import fmean

import msgspec

from plan.errors import PluginError, ScenarioError, TraceError
from plan.workload import Step, Trajectory, Turn, steps
from scenarios.configuration.plugins import find
from scenarios.configuration.schema import Scenario, Workload
from scenarios.planning.memory import check_agents
from scenarios.workload.generator import DATASET, MAX_TOKENS, TABLE_2, MaxLen, drawn
from scenarios.workload.plugged import plugged_reader
from scenarios.workload.stems import with_stem
from scenarios.workload.trace import Selection, extend, load, sharing, window
from scenarios.workload.trace_formats import READERS, Reader

FIRST_ROUND_TOKENS = 128
"""Length of the synthetic first round of agents made beyond the trace's own (section 5)."""


def make_trajectories(scenario: Scenario) -> tuple[list[Trajectory], list[str]]:
    """What the scenario's agents replay, and warnings of what of it is not as asked."""
    workload = scenario.workload
    found, warnings = _source(workload, scenario.seed)
    if not found:
        raise ScenarioError(
            "workload.min_turns", workload.shortest, "no trajectory is that long: write less"
        )
    _check_memory(workload, fmean(len(trajectory.turns) for trajectory in found))
    if workload.arrivals and workload.arrivals.trace:
        found = _by_start(found, workload, workload.arrivals.trace)
    prefix = workload.shared_prefix
    if isinstance(prefix, int):
        found = [sharing(trajectory, prefix) for trajectory in found]
    agents = extend(found, workload.agents, scenario.seed, FIRST_ROUND_TOKENS)
    if isinstance(prefix, int):
        agents = [with_stem(agent, prefix) for agent in agents]
    skip, count = workload.turns.skip, workload.turns.count
    cut = [
        window(agent, skip, count or len(agent.turns) - skip) for agent in agents[: workload.agents]
    ]
    return [_timed(trajectory, workload) for trajectory in cut], warnings


def _by_start(found: list[Trajectory], workload: Workload, factor: float) -> list[Trajectory]:
    """In the order in which they began, the first one at 0."""
    if workload.agents > len(found):
        remedy = f"the trace has {len(found)} that began: write at most that, or a rate"
        raise ScenarioError("workload.agents", workload.agents, remedy)
    first_s = min(trajectory.start_s for trajectory in found)
    return sorted(
        (
            msgspec.structs.replace(trajectory, start_s=factor * (trajectory.start_s - first_s))
            for trajectory in found
        ),
        key=lambda trajectory: trajectory.start_s,
    )


def _timed(trajectory: Trajectory, workload: Workload) -> Trajectory:
    """Without the times that nobody asked for: a plan of many turns is long as it is."""
    if workload.arrivals is None or not workload.arrivals.trace:
        trajectory = msgspec.structs.replace(trajectory, start_s=0.0)
    if workload.gap != "trace" and any(turn.gap_s for turn in trajectory.turns):
        turns = tuple(Turn(turn.append, turn.gen, turn.keep) for turn in trajectory.turns)
        trajectory = msgspec.structs.replace(trajectory, turns=turns)
    return trajectory


def _source(workload: Workload, seed: int) -> tuple[list[Trajectory], list[str]]:
    source, warnings = workload.source, []
    row = source.generator
    if source.trace is not None:
        if source.fallback and not Path(source.trace).exists():
            row = source.fallback
            warnings.append(f"{source.trace} is not there: generated {row} trajectories instead")
        else:
            selection = Selection(
                min_turns=workload.shortest,
                max_gen=workload.max_gen,
                max_context=workload.max_context,
            )
            try:
                shared = workload.shared_prefix == "recorded"
                recorded = load(
                    Path(source.trace), _reader(source.format), selection, shared=shared
                )
            except (TraceError, PluginError) as error:
                raise ScenarioError("workload.source.trace", source.trace, str(error)) from None
            return list(_long_enough(recorded, workload, workload.max_context)), warnings
    assert row is not None
    _check_memory(workload, TABLE_2[row].turns)
    return _generated(workload, row, seed), warnings


def _reader(format: str) -> Reader:
    """Of a trace, built in or a plug-in."""
    for name, reader in READERS.items():
        if name == format:
            return reader
    return plugged_reader(find("traces", "workload.source.format", format, READERS))


def _check_memory(workload: Workload, turns: float) -> None:
    check_agents(workload.agents, turns, workload.turns.count or turns)


def _generated(workload: Workload, row: MaxLen, seed: int) -> list[Trajectory]:
    """The long enough ones of a dataset as large as the paper's, for so many agents at most."""
    capped = (_capped(trajectory, workload) for trajectory in drawn(row, DATASET, seed))
    limit = min(MAX_TOKENS[row], workload.max_context or MAX_TOKENS[row])
    return list(islice(_long_enough(capped, workload, limit), workload.agents))


def _capped(trajectory: Trajectory, workload: Workload) -> Trajectory:
    max_gen = workload.max_gen
    if max_gen is None:
        return trajectory
    turns = tuple(msgspec.structs.replace(t, gen=min(t.gen, max_gen)) for t in trajectory.turns)
    return msgspec.structs.replace(trajectory, turns=turns)


def _long_enough(
    trajectories: Iterable[Trajectory], workload: Workload, limit: int | None
) -> Iterator[Trajectory]:
    """Lengths scaled first, then cut at a limit, as the paper does (Fig 9); what has the turns
    that are asked for."""
    scaled = (_scaled(trajectory, workload, limit) for trajectory in trajectories)
    return (trajectory for trajectory in scaled if len(trajectory.turns) >= workload.shortest)


def _scaled(trajectory: Trajectory, workload: Workload, limit: int | None) -> Trajectory:
    """Append and generation lengths times their factors, then cut at `limit` tokens, if any."""
    turns = trajectory.turns
    if not workload.append_scale == workload.gen_scale == 1.0:
        if any(turn.keep is not None for turn in turns):
            raise ScenarioError(
                "workload.append_scale",
                workload.append_scale,
                "leave append_scale and gen_scale at 1 for a trace with context resets",
            )
        turns = tuple(
            msgspec.structs.replace(
                turn,
                append=max(1, round(turn.append * workload.append_scale)),
                gen=max(1, round(turn.gen * workload.gen_scale)),
            )
            for turn in turns
        )
    scaled = msgspec.structs.replace(trajectory, turns=turns)
    if limit is None:
        return scaled
    fitting = sum(1 for _ in takewhile(lambda step: step.context <= limit, steps(scaled)))
    return msgspec.structs.replace(scaled, turns=turns[:fitting])


def all_steps(trajectories: Iterable[Trajectory]) -> Iterator[Step]:
    """The steps of all of them, one trajectory after the other."""
    return (step for trajectory in trajectories for step in steps(trajectory))
