"""Claims: incremental rates are those of a plain global water-filling; HTB on one link."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.worlds.virtual.lane_sharing import Flow, Link, Sharing
from plan.lanes import Lane, LaneTable, TrafficClass

pytestmark = pytest.mark.slow

EPS = 1e-12
GREEDY = 1e6


def table(*lanes: tuple[float, int], enabled: bool = True) -> LaneTable:
    """Lanes as (min_share, priority), VL by VL; the classes use as many as there are."""
    classes: tuple[TrafficClass, ...] = ("collective", "control", "kv", "storage")
    return LaneTable(
        enabled=enabled,
        lanes=tuple(
            Lane(name=f"vl{vl}", vl=vl, min_share=share, priority=priority)
            for vl, (share, priority) in enumerate(lanes)
        ),
        dscp=dict.fromkeys(classes, 0),
        vl={name: min(i, len(lanes) - 1) for i, name in enumerate(classes)},
    )


Demand = tuple[int, tuple[int, ...]]
"""A flow of the reference: lane number and links."""


def reference(
    capacity: list[float], lanes: list[tuple[float, int]], flows: dict[int, Demand]
) -> dict[int, float]:
    """The definition in `nodes.worlds.virtual.lane_sharing`, link by link and from nothing."""
    groups = [
        [i for i, lane in enumerate(lanes) if lane[1] == priority]
        for priority in sorted({lane[1] for lane in lanes})
    ]
    links = range(len(capacity))
    present = [{lane for lane, path in flows.values() if link in path} for link in links]
    rate = dict.fromkeys(flows, 0.0)

    def free(link: int, keep: Iterable[int] = ()) -> float:
        used = sum(rate[f] for f, (_, path) in flows.items() if link in path)
        kept = sum(lanes[v][0] for v in keep if v in present[link])
        return capacity[link] * (1.0 - kept) - used

    def share_out(group: list[int], kept: list[int], helpings: int) -> None:
        for turn in range(helpings):
            room = [free(link, kept) for link in links]
            wants = [
                f
                for f, (lane, path) in flows.items()
                if lane in group and all(room[link] > EPS * capacity[link] for link in path)
            ]
            at = [{flows[f][0] for f in wants if link in flows[f][1]} for link in links]
            for lane in group:
                if turn == helpings - 1:
                    room = [free(link, kept) for link in links]
                    offers = room
                else:
                    offers = [
                        room[link] * lanes[lane][0] / (sum(lanes[v][0] for v in at[link]) or 1.0)
                        for link in links
                    ]
                mine = {f: flows[f][1] for f in wants if flows[f][0] == lane}
                for f, more in max_min(mine, offers).items():
                    rate[f] += more

    for i, group in enumerate(groups):
        later = [lane for following in groups[i + 1 :] for lane in following]
        share_out(group, later, 1 if len(group) == 1 else len(group) + 1)
    for group in groups[:-1]:
        share_out(group, [], len(group))
    return rate


def max_min(paths: dict[int, tuple[int, ...]], offers: list[float]) -> dict[int, float]:
    """Progressive filling: all rates rise together, and stop where a link is full."""
    rates: dict[int, float] = {}
    while len(rates) < len(paths):
        rising = {f: path for f, path in paths.items() if f not in rates}
        level, full = min(
            (
                (offer - sum(r for f, r in rates.items() if link in paths[f]))
                / sum(link in path for path in rising.values()),
                link,
            )
            for link, offer in enumerate(offers)
            if any(link in path for path in rising.values())
        )
        rates |= {f: max(level, 0.0) for f, path in rising.items() if full in path}
    return rates


class Case:
    """A Sharing and the same flows in the reference's form."""

    def __init__(self, capacity: list[float], lanes: list[tuple[float, int]]) -> None:
        self.capacity, self.lanes = capacity, lanes
        self.sharing = Sharing(table(*lanes))
        self.links: list[Link] = [self.sharing.link(c) for c in capacity]
        self.flows: dict[int, tuple[Demand, Flow]] = {}
        self.rates: dict[Flow, float] = {}
        self.next = 0

    def start(self, vl: int, path: tuple[int, ...]) -> None:
        lane = sorted(range(len(self.lanes)), key=lambda v: (self.lanes[v][1], v)).index(vl)
        flow = Flow(tuple(self.links[link].queues[lane] for link in path))
        self.sharing.add(flow)
        self.flows[self.next] = ((vl, path), flow)
        self.next += 1

    def stop(self, index: int) -> None:
        key = list(self.flows)[index % len(self.flows)]
        self.sharing.remove(self.flows.pop(key)[1])

    def solve(self) -> dict[int, float]:
        for flow in self.sharing.solve():
            self.rates[flow] = flow.fair + flow.extra + flow.late
        return {key: self.rates.get(flow, 0.0) for key, (_, flow) in self.flows.items()}

    def check(self) -> None:
        rates = self.solve()
        demands = {key: demand for key, (demand, _) in self.flows.items()}
        expected = reference(self.capacity, self.lanes, demands)
        widest = max(self.capacity)
        for key, rate in rates.items():
            assert rate == pytest.approx(expected[key], rel=1e-9, abs=1e-9 * widest), demands
        used = [
            sum(rates[f] for f, (_, path) in demands.items() if link in path)
            for link in range(len(self.capacity))
        ]
        for link, capacity in enumerate(self.capacity):
            assert used[link] <= capacity * (1 + 1e-9)
        for _, path in demands.values():
            full = [used[link] >= self.capacity[link] * (1 - 1e-9) for link in path]
            assert any(full), "idle bandwidth"


LANE_SETS = [
    [(1.0, 0)],
    [(0.99, 0), (0.01, 1)],
    [(0.3, 0), (0.2, 1), (0.5, 2)],
    [(0.5, 0), (0.25, 0), (0.25, 0)],
    [(0.33, 0), (0.33, 0), (0.01, 1), (0.33, 0)],
    [(0.2, 1), (0.3, 0), (0.4, 1), (0.1, 0)],
]


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
@settings(max_examples=400, deadline=None)
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
@settings(max_examples=250, deadline=None)
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


@given(st.integers(0, 2**32), st.sampled_from(LANE_SETS[:2]))
@settings(max_examples=10, deadline=None)
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


def one_link(lanes: list[tuple[float, int]], *flows: tuple[int, float]) -> list[float]:
    """Rates of flows (vl, own limit) that meet on one link of 100."""
    case = Case([100.0, *(limit for _, limit in flows)], lanes)
    for private, (vl, _) in enumerate(flows, 1):
        case.start(vl, (private, 0))
    return [case.solve()[key] for key in range(len(flows))]


PAPER = [(0.99, 0), (0.01, 1)]


def test_the_kv_lane_keeps_its_guarantee_under_a_full_collective_lane() -> None:
    assert one_link(PAPER, (0, GREEDY), (1, GREEDY)) == pytest.approx([99.0, 1.0])


def test_the_kv_lane_gets_all_that_collectives_leave() -> None:
    assert one_link(PAPER, (0, 30.0), (1, GREEDY), (1, GREEDY)) == pytest.approx([30, 35, 35])


def test_collectives_get_what_the_kv_lane_cannot_use_of_its_guarantee() -> None:
    assert one_link(PAPER, (0, GREEDY), (1, 0.25)) == pytest.approx([99.75, 0.25])


def test_equal_lanes_split_leftovers_in_proportion_to_their_guarantees() -> None:
    lanes = [(0.5, 0), (0.25, 0), (0.25, 0), (0.0, 1)]
    others = [(2, GREEDY), (3, GREEDY)]
    assert one_link(lanes, (0, 8.0), (1, GREEDY), *others) == pytest.approx([8, 46, 46, 0])
    assert one_link(lanes, (0, GREEDY), (1, 10.0), *others) == pytest.approx([60, 10, 30, 0])


def test_a_guarantee_holds_for_the_lane_and_not_for_each_of_its_flows() -> None:
    many = one_link([(0.75, 0), (0.25, 0)], (0, GREEDY), *[(1, GREEDY)] * 10)
    assert many == pytest.approx([75.0] + [2.5] * 10)


def test_idle_bandwidth_goes_to_the_smaller_priority_number() -> None:
    rates = one_link([(0.2, 2), (0.2, 0), (0.6, 1)], (0, GREEDY), (1, 10.0), (2, GREEDY))
    assert rates == pytest.approx([20.0, 10.0, 70.0])


def test_with_lanes_off_all_flows_are_equal() -> None:
    sharing = Sharing(table((0.99, 0), (0.01, 1), enabled=False))
    link = sharing.link(10.0)
    assert set(sharing.lane_of_vl.values()) == {0}
    flows = [Flow((link.queues[0],)) for _ in range(4)]
    for flow in flows:
        sharing.add(flow)
    sharing.solve()
    assert [flow.fair for flow in flows] == [2.5] * 4
