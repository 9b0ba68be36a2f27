"""Synthetic trajectories match the paper's Table 2 and have heavy tails."""

from statistics import fmean, median

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.workload import Trajectory, Turn, steps
from scenarios.workload.generator import (
    FAMILIES,
    MAX_TOKENS,
    TABLE_2,
    MaxLen,
    Table2Row,
    fit,
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


@pytest.mark.parametrize("max_len", LENGTHS)
def test_the_stored_parameters_are_the_fitted_ones(max_len: MaxLen) -> None:
    fitted = msgspec.structs.asdict(fit(max_len))
    for name, value in msgspec.structs.asdict(FAMILIES[max_len]).items():
        assert value == pytest.approx(fitted[name], rel=1e-3), name


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
