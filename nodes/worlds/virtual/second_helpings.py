"""Second helpings: what the lanes of a group cannot use is split among those that can.

All flows that could use more, or had more, and are connected through shared links are
solved together, from nothing. Late helpings, of what guarantees kept back in vain, are the
same over all that is left.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.worlds.virtual.lane_state import TIE, Flow, Lane, Link


def refill(group: list[Lane], stirred: Iterable[Link], *, late: bool) -> list[Flow]:
    """Second or late helpings of a group around links; the flows that have or had any."""
    rooms = _Rooms(group, late=late)
    reached: dict[Flow, None] = {}
    links = dict.fromkeys(stirred)
    waiting = list(links)
    while waiting:
        link = waiting.pop()
        for lane in group:
            for flow in link.queues[lane.number].flows:
                had = flow.late if late else flow.extra
                if flow not in reached and (had > 0.0 or rooms.hungry(flow)):
                    reached[flow] = None
                    for queue in flow.queues:
                        if queue.link not in links:
                            links[queue.link] = None
                            waiting.append(queue.link)
    if reached:
        _give(
            reached, _shared_out([f for f in reached if rooms.hungry(f)], rooms, group), late=late
        )
    return list(reached)


def _give(flows: Iterable[Flow], given: dict[Flow, float], *, late: bool) -> None:
    """Helpings take the place of what flows had before."""
    for flow in flows:
        amount = given.get(flow, 0.0)
        if late:
            flow.late = amount
            continue
        for queue in flow.queues:
            queue.extra += amount - flow.extra
        flow.extra = amount


class _Rooms(dict[Link, float]):
    """What is left of links for a group, bytes/s; each is looked at once."""

    def __init__(self, group: list[Lane], *, late: bool) -> None:
        self._group = group
        self._late = late

    def __missing__(self, link: Link) -> float:
        group = self._group
        if self._late:
            taken = sum(q.load + q.extra for q in link.queues if q.flows)
            room = link.capacity - taken - _late(link, group)
        else:
            room = link.offer_to(group) - sum(link.queues[lane.number].load for lane in group)
        self[link] = room
        return room

    def hungry(self, flow: Flow) -> bool:
        """Whether there is room on all of the flow's way."""
        for queue in flow.queues:  # noqa: SIM110  asked all the time: a generator costs twice
            if self[queue.link] <= TIE * queue.link.capacity:
                return False
        return True


def _late(link: Link, group: list[Lane]) -> float:
    """What groups before this one were given late on a link, bytes/s."""
    before = link.queues[: group[0].number]
    return sum(flow.late for queue in before for flow in queue.flows)


def _shared_out(flows: list[Flow], rooms: _Rooms, group: list[Lane]) -> dict[Flow, float]:
    """Share out the room on links among flows of equal priority (see `lane_sharing`)."""
    given = dict.fromkeys(flows, 0.0)
    for turn in range(len(group)):
        by_lane: dict[Lane, list[Flow]] = {lane: [] for lane in group}
        waiting: dict[Link, dict[Lane, None]] = {}
        for flow in flows:
            if rooms.hungry(flow):
                by_lane[flow.queues[0].lane].append(flow)
                for queue in flow.queues:
                    waiting.setdefault(queue.link, {})[queue.lane] = None
        in_order = turn == len(group) - 1
        before = dict(rooms)
        for lane, hungry in by_lane.items():
            if not hungry:
                continue
            offers = {
                link: rooms[link] if in_order else before[link] * _weight(lane, lanes)
                for link, lanes in waiting.items()
            }
            for flow, amount in _max_min(hungry, offers).items():
                given[flow] += amount
                for queue in flow.queues:
                    rooms[queue.link] -= amount
    return given


def _weight(lane: Lane, waiting: Iterable[Lane]) -> float:
    total = sum(other.share for other in waiting)
    return lane.share / total if total > 0.0 else 1.0 / len(list(waiting))


def _max_min(flows: list[Flow], offers: dict[Link, float]) -> dict[Flow, float]:
    """Max-min fair rates of flows of one lane on links of which `offers` is free."""
    left = dict(offers)
    on: dict[Link, dict[Flow, None]] = {}
    for flow in flows:
        for queue in flow.queues:
            on.setdefault(queue.link, {})[flow] = None
    rates: dict[Flow, float] = {}
    while on:
        narrowest = min(on, key=lambda link: left[link] / len(on[link]))
        level = max(left[narrowest] / len(on[narrowest]), 0.0)
        for flow in list(on[narrowest]):
            rates[flow] = level
            for queue in flow.queues:
                left[queue.link] -= level
                del on[queue.link][flow]
                if not on[queue.link]:
                    del on[queue.link]
    return rates
