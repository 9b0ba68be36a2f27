"""Claims: a run that ended while TTFT still rose is told from one at rest, noise or no noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.records import EndedBy, Ending, RequestRecord
from scenarios.results.rest import RISE, WINDOWS, rises, rising


def requests(ttft_s: list[float], every_s: float = 1.0) -> list[RequestRecord]:
    """A first token every so often, after these times."""
    return [
        RequestRecord(
            request=number,
            agent=0,
            turn=number,
            prompt_tokens=100,
            gen_tokens=10,
            submit_s=every_s * (number + 1) - value,
            first_s=every_s * (number + 1),
        )
        for number, value in enumerate(ttft_s)
    ]


def ending(ended_by: EndedBy = "after", to_s: float = 200.0) -> Ending:
    return Ending(ended_by=ended_by, from_s=0.0, to_s=to_s)


CREEPING = [0.5 + i / 100 for i in range(200)]


def test_what_creeps_is_not_at_rest() -> None:
    assert rising(requests(CREEPING), 0.0, ending())


@pytest.mark.parametrize("ended_by", ["steady", "ttft_beyond", "all served", "broken off"])
def test_an_end_that_goes_by_ttft_decides(ended_by: EndedBy) -> None:
    assert not rising(requests(CREEPING), 0.0, ending(ended_by))


def test_what_rose_in_the_warm_up_alone_is_at_rest() -> None:
    filling = [min(0.01 * i, 1.0) for i in range(200)]
    assert rising(requests(filling), 0.0, ending(to_s=100.0))
    assert not rising(requests(filling), 100.0, ending())


@given(st.floats(0.05, 4.0), st.integers(0, 2**32 - 1))
def test_what_falls_never_rises(ttft_s: float, seed: int) -> None:
    noise = np.random.default_rng(seed).exponential(0.1, WINDOWS)
    falling = ttft_s * (1 + np.sort(noise)[::-1])
    assert not rises(falling)


def test_noise_is_taken_for_a_rise_less_than_once_in_fifty_times() -> None:
    draws = np.random.default_rng(1).exponential(1.0, (5000, WINDOWS))
    assert sum(rises(series) for series in draws) < 100


def test_a_rise_is_seen_through_noise_of_its_tenth() -> None:
    rng = np.random.default_rng(2)
    rise = np.linspace(1.0, 1.5, WINDOWS)
    assert sum(rises(rise + rng.normal(0, 0.05, WINDOWS)) for _ in range(1000)) > 990


def test_a_little_is_no_rise() -> None:
    assert not rises(np.linspace(1.0, 1.0 + RISE, WINDOWS))


def test_of_a_run_without_first_tokens_nothing_is_said() -> None:
    assert not rising([], 0.0, ending())
    assert not rising(requests(CREEPING), 200.0, ending())
