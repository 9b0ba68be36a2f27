"""Lane sharing as it is defined, link by link and from nothing, beside what is solved."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from nodes.worlds.virtual.lane_sharing import Sharing
from nodes.worlds.virtual.lane_state import Flow, Link
from plan.lanes import Lane, LaneTable, TrafficClass

EPS = 1e-12


def table(*lanes: tuple[float, int], enabled: bool = True) -> LaneTable:
    """Lanes as (min_share, priority), VL by VL; the classes use as many as there are."""
    classes: tuple[TrafficClass, ...] = ("collective", "control", "kv", "storage")
    return LaneTable(
        enabled=enabled,
        lanes=tuple(
            Lane(name=f"vl{vl}", vl=vl, min_share=share, priority=priority)
            for vl, (share, priority) in enumerate(lanes)
        ),
        filters=(),
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
