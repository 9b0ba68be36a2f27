"""Claims: incremental rates are those of a plain global solution, whatever the lanes."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from nodes.worlds.virtual.lane_sharing import Sharing
from nodes.worlds.virtual.lane_state import Flow
from tests.examples import tries
from tests.nodes.worlds.virtual.reference_sharing import LANE_SETS, Case, table


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[float], list[tuple[float, int]], list[list[object]]]:
    lanes = draw(st.sampled_from(LANE_SETS))
    links = draw(st.integers(1, 7))
    capacity = draw(
        st.lists(
            st.one_of(
                st.sampled_from([1.0, 2.0, 8.0]), st.floats(0.1, 100.0, allow_subnormal=False)
            ),
            min_size=links,
            max_size=links,
        )
    )
    path = st.lists(st.integers(0, links - 1), min_size=1, max_size=4, unique=True).map(tuple)
    start = st.tuples(st.integers(0, len(lanes) - 1), path)
    change = st.one_of(start, start, st.integers(0, 1000))
    return capacity, lanes, draw(st.lists(st.lists(change, min_size=1, max_size=5), max_size=12))


@given(stories())
@tries(400)
def test_after_every_batch_of_changes_all_rates_are_the_global_solution(
    story: tuple[list[float], list[tuple[float, int]], list[list[object]]],
) -> None:
    capacity, lanes, batches = story
    case = Case(capacity, lanes)
    for batch in batches:
        for change in batch:
            if isinstance(change, tuple):
                case.start(*change)
            elif case.flows:
                assert isinstance(change, int)
                case.stop(change)
        case.check()


@given(st.integers(0, 2**32), st.sampled_from(LANE_SETS))
@tries(250)
def test_crowded_links_keep_to_the_global_solution(
    seed: int, lanes: list[tuple[float, int]]
) -> None:
    rng = random.Random(seed)
    links = rng.randrange(2, 9)
    case = Case([rng.choice([1.0, 2.0, 8.0, rng.uniform(0.1, 20)]) for _ in range(links)], lanes)
    for _ in range(25):
        for _ in range(rng.randrange(1, 4)):
            if rng.random() < len(case.flows) / 15:
                case.stop(rng.randrange(1000))
            else:
                path = rng.sample(range(links), min(links, rng.choice([1, 2, 2, 3, 4])))
                case.start(rng.randrange(len(lanes)), tuple(path))
        case.check()


def test_with_lanes_off_all_flows_are_equal() -> None:
    sharing = Sharing(table((0.99, 0), (0.01, 1), enabled=False))
    link = sharing.link(10.0)
    assert set(sharing.lane_of_vl.values()) == {0}
    flows = [Flow((link.queues[0],)) for _ in range(4)]
    for flow in flows:
        sharing.add(flow)
    sharing.solve()
    assert [flow.fair for flow in flows] == [2.5] * 4
