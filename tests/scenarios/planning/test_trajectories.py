"""Claims: what agents replay is drawn, scaled, cut and extended as the paper does it."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest

from plan.workload import Trajectory
from scenarios.configuration.loading import load_scenario
from scenarios.planning.trajectories import FIRST_ROUND_TOKENS, all_steps, make_trajectories
from scenarios.workload.generator import DATASET, MAX_TOKENS

TINY = Path(__file__).parents[1] / "tiny.yaml"
WHOLE = [
    "workload.source={generator: 32K}",
    "workload.turns={skip: 0}",
    "workload.min_turns=1",
    "workload.max_gen=null",
    "workload.max_context=null",
]


def made(*overrides: str) -> list[Trajectory]:
    trajectories, warnings = make_trajectories(load_scenario(TINY, [*WHOLE, *overrides]))
    assert not warnings
    return trajectories


def turns(trajectories: list[Trajectory]) -> float:
    return fmean(len(trajectory.turns) for trajectory in trajectories)


@pytest.mark.parametrize("key", ["append_scale", "gen_scale"])
def test_lengths_are_scaled_first_and_then_cut_at_max_len(key: str) -> None:
    """So longer lengths leave fewer turns (Fig 9), and no context exceeds MaxLen."""
    plain, scaled = made("workload.agents=200"), made("workload.agents=200", f"workload.{key}=3")
    assert max(step.context for step in all_steps(scaled)) <= MAX_TOKENS["32K"]
    assert turns(scaled) < 0.8 * turns(plain)


def test_shorter_lengths_add_no_turns() -> None:
    """What is scaled is the dataset, which was cut before."""
    plain, scaled = made("workload.agents=50"), made("workload.agents=50", "workload.gen_scale=0.5")
    assert turns(scaled) == turns(plain)


def test_agents_beyond_the_dataset_replay_one_of_it_behind_a_first_round() -> None:
    agents = made(f"workload.agents={DATASET + 20}")
    dataset = {agent.turns for agent in agents[:DATASET]}
    for agent in agents[DATASET:]:
        assert (agent.turns[0].append, agent.turns[0].gen) == (FIRST_ROUND_TOKENS, 1)
        assert agent.turns[1:] in dataset
