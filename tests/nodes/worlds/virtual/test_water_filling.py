"""Claims: solving only around what changed adds up to no error."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.examples import tries
from tests.nodes.worlds.virtual.reference_sharing import LANE_SETS, Case


@given(st.integers(0, 2**32), st.sampled_from(LANE_SETS[:2]))
@tries(10)
def test_long_histories_on_many_links_do_not_drift(
    seed: int, lanes: list[tuple[float, int]]
) -> None:
    rng = random.Random(seed)
    case = Case([rng.choice([1.0, 4.0, 0.7]) for _ in range(60)], lanes)
    for _ in range(400):
        if rng.random() < len(case.flows) / 160:
            case.stop(rng.randrange(1000))
        else:
            path = tuple(rng.sample(range(60), rng.choice([2, 3])))
            case.start(rng.randrange(len(lanes)), path)
        case.solve()
    case.check()
