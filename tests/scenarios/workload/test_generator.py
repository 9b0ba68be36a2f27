"""Synthetic trajectories match the paper's Table 2 and have heavy tails."""

from statistics import fmean, median

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.workload import Trajectory, Turn, steps
from scenarios.reproduction.paper import paper
from scenarios.workload.generator import (
    MAX_TOKENS,
    TABLE_2,
    MaxLen,
    Table2Row,
    cut,
    generate,
    statistics,
)
from tests.examples import tries

LENGTHS = list(TABLE_2)


@pytest.mark.parametrize("seed", [0, 1, 2, 17, 2026])
@pytest.mark.parametrize("max_len", LENGTHS)
def test_500_trajectories_match_table_2_within_5_percent(max_len: MaxLen, seed: int) -> None:
    made = msgspec.structs.asdict(statistics(generate(max_len, 500, seed)))
    assert made == pytest.approx(msgspec.structs.asdict(TABLE_2[max_len]), rel=0.05)


@tries(25)
@given(max_len=st.sampled_from(LENGTHS), seed=st.integers(0, 2**32))
def test_no_trajectory_exceeds_max_len_and_every_turn_has_tokens(
    max_len: MaxLen, seed: int
) -> None:
    for trajectory in generate(max_len, 40, seed):
        assert list(steps(trajectory))[-1].context <= MAX_TOKENS[max_len]
        assert all(turn.append >= 1 and turn.gen >= 1 for turn in trajectory.turns)


def test_same_seed_same_trajectories_and_more_agents_begin_with_them() -> None:
    few = generate("32K", 10, 3)
    assert generate("32K", 60, 3)[:10] == few
    assert generate("32K", 10, 4) != few


def test_long_trajectories_have_short_turns() -> None:
    made = sorted(generate("64K", 200, 5), key=lambda trajectory: len(trajectory.turns))
    short, long = statistics(made[:100]), statistics(made[100:])
    assert short.append + short.gen > 2 * (long.append + long.gen)


@pytest.mark.parametrize("field", ["append", "gen"])
def test_tails_are_heavy_like_those_of_recorded_traces(field: str) -> None:
    """Recorded coding agents have means of about 3 medians; exponential ones 1.4."""
    values = [getattr(turn, field) for t in generate("32K", 200, 6) for turn in t.turns]
    assert 2 < fmean(values) / median(values) < 6


def test_an_agent_sends_as_many_prompt_tokens_as_fig_15_says() -> None:
    """Hits included, with MaxLen 48K: what Table 2 alone does not give."""
    sent = [sum(step.prompt for step in steps(t)) for t in generate("48K", 500, 1)]
    assert fmean(sent) == pytest.approx(paper().scale.prompt_tokens_an_agent, rel=0.1)


def test_agents_end_when_fig_15_says() -> None:
    """How many still run by the time that a share of all prompt tokens has been served, all
    going on at the same pace: a turn waits as long as it takes to generate 300 tokens."""
    scale, agents = paper().scale, generate("48K", 500, 1)
    served: list[tuple[float, int]] = []
    ends = []
    for agent in agents:
        t = 0.0
        for turn, step in zip(agent.turns, steps(agent), strict=True):
            t += 1 + turn.gen / 300
            served.append((t, step.prompt))
        ends.append(t)
    served.sort()
    tokens = np.cumsum([prompt for _, prompt in served])
    rates = np.array(scale.prompt_tps_1e7)
    share = np.concatenate([[0], np.cumsum((rates[1:] + rates[:-1]) / 2)])
    times = np.interp(share / share[-1], tokens / tokens[-1], [t for t, _ in served])
    running = [fmean(end > t for end in ends) for t in times]
    expected = np.array(scale.running_agents) / scale.agents
    assert running == pytest.approx(expected, abs=0.1)


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=20),
    st.integers(2, 10_000),
)
def test_a_cut_keeps_leading_turns_and_at_least_a_part_of_the_first(
    turns: list[tuple[int, int]], limit: int
) -> None:
    whole = [Turn(*turn) for turn in turns]
    kept = cut(whole, limit)
    tokens = [turn.append + turn.gen for turn in kept]
    assert 1 <= sum(tokens) <= limit
    if tokens[0] == whole[0].append + whole[0].gen:
        assert list(kept) == whole[: len(kept)]
        assert len(kept) == len(whole) or sum(tokens) + sum(turns[len(kept)]) > limit
    else:
        assert len(kept) == 1
        assert min(kept[0].append, kept[0].gen) >= 1


def test_statistics_are_means_over_trajectories() -> None:
    one = Trajectory(name="a", turns=(Turn(10, 2), Turn(4, 4)))
    other = Trajectory(name="b", turns=(Turn(100, 1),))
    expected = Table2Row(turns=1.5, append=53.5, gen=2.0, total=60.5, context=3.0)
    assert statistics([one, other]) == expected


def test_what_cannot_be_generated_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown '16K'; use one of 32K, 48K, 64K"):
        generate("16K", 1, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="agents must be >= 0, not -1"):
        generate("32K", -1, 0)
    with pytest.raises(ValueError, match="at least one"):
        statistics([])
