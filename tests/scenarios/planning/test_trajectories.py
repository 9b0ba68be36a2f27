"""Claims: what agents replay is drawn, scaled, cut and extended as the paper does it."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest

from plan.errors import ScenarioError
from plan.workload import Trajectory
from scenarios.configuration.loading import load_scenario
from scenarios.planning.trajectories import FIRST_ROUND_TOKENS, all_steps, make_trajectories
from scenarios.workload.generator import DATASET, MAX_TOKENS
from scenarios.workload.trace import window

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


def test_a_shared_prefix_is_in_storage_before_an_agent_begins() -> None:
    """All else is the same: prompts, generations, and what later turns keep."""
    agents = f"workload.agents={DATASET + 3}"
    plain, shared = made(agents), made(agents, "workload.shared_prefix=500")
    assert [agent.preloaded for agent in plain] == [0] * len(plain)
    for before, after in zip(plain[:DATASET], shared[:DATASET], strict=True):
        first = before.turns[0].append
        assert after.preloaded == min(500, first - 1)
        assert after.turns[0].append == first - after.preloaded
        assert after.turns[1:] == before.turns[1:]
    for extra in shared[DATASET:]:  # the synthetic round is stored with it
        assert extra.preloaded == 500 + FIRST_ROUND_TOKENS + 1


def test_a_shared_prefix_is_one_stem_as_far_as_agents_kept_it() -> None:
    plain = made(f"workload.agents={DATASET + 3}")
    assert [agent.stems for agent in plain] == [()] * len(plain)
    shared = made(f"workload.agents={DATASET + 3}", "workload.shared_prefix=500")
    for agent in shared:
        assert agent.stems == ((0, min(500, agent.preloaded)),)
    turns = ("workload.min_turns=7", "workload.turns={skip: 5, count: 2}")
    later = made("workload.shared_prefix=500", *turns)
    assert {agent.stems for agent in later} <= {agent.stems for agent in shared}


def test_a_recorded_prefix_is_a_hit_where_it_is_asked_for(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("agent,time,cached,append,gen\na,0,0,900,10\nb,1,640,200,10\n")
    source = [f"workload.source={{trace: {trace}, format: turns}}", "workload.agents=2"]
    assert [agent.preloaded for agent in made(*source)] == [0, 0]
    assert [agent.turns[0].append for agent in made(*source)] == [900, 840]
    shared = made(*source, "workload.shared_prefix=recorded")
    assert [agent.preloaded for agent in shared] == [0, 640]
    assert [agent.turns[0].append for agent in shared] == [900, 200]
    assert [agent.stems for agent in shared] == [(), ()]  # who has it beside b is not recorded


def test_agents_have_recorded_blocks_in_common(tmp_path: Path) -> None:
    """A parent that makes them, and two that come with them, of whom one goes back later."""
    trace = tmp_path / "trace.jsonl"
    rows = [("a", [1, 2, 3]), ("b", [1, 2, 4]), ("c", [1, 2, 5]), ("c", [1, 6, 7]), ("c", [1, 6])]
    trace.write_text(
        "".join(
            f'{{"session_id": "{name}", "input_length": {512 * len(ids)}, "output_length": 9, '
            f'"timestamp": 0, "hash_ids": {ids}}}\n'
            for name, ids in rows
        )
    )
    source = [f"workload.source={{trace: {trace}, format: mooncake}}", "workload.agents=5"]
    shared = made(*source, "workload.shared_prefix=recorded")
    assert [agent.stems for agent in shared[:3]] == [((0, 1024),)] * 3
    assert [agent.stems for agent in shared[3:]] == [(), ()]  # behind a first round of their own
    assert [agent.stems for agent in made(*source)] == [()] * 5
    assert window(shared[2], 2, 1).stems == ((0, 512),)


def test_what_is_generated_has_no_recorded_prefix() -> None:
    with pytest.raises(ScenarioError, match=r"shared_prefix: .recorded. needs a recorded trace"):
        made("workload.shared_prefix=recorded")
