"""How flows share links and virtual lanes: the fluid limit of HTB on every egress.

Definition. Lanes are served in groups of equal priority, the smallest number first. To a
group a link offers its capacity, less what the groups before took, less the guarantees of the
lanes of later groups that have flows on it. The lanes of a group split the offer in
proportion to their guarantees, and each gives its flows max-min fair rates. What a lane
cannot use (its flows are held up elsewhere) is split again among the group's lanes that can,
and the last leftover goes to them in order of `vl`. When all groups are served, what
guarantees kept back in vain is offered once more, group by group. So on one link the outcome
is HTB's: guarantees first, idle bandwidth by priority, among equals in proportion to
guarantees; within one lane it is max-min fairness; and no flow could be given more without
taking it from another.

The solver is incremental. Max-min rates are characterised locally: every flow has a
bottleneck, a full link on which no flow of its lane is faster. After a change only the
flows around it are solved again, all others held fixed; flows whose bottleneck the
result would break are added, until none is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from heapq import heapify, heappop, heapreplace
from typing import Any

from plan.lanes import LaneTable

_TIE = 1e-12
"""Relative difference below which rates, and offers of a link, count as equal."""

_SCAN_LINKS = 24
"""Up to so many links a scan finds the next bottleneck sooner than a heap."""


class Link:
    """One direction of a NIC or of a switch-to-switch link, with a queue for each lane.

    Attributes:
        capacity: bytes/s.
        queues: lane number (see `Sharing.lane_of_vl`) -> queue.
        present: how many lanes have flows here.
    """

    __slots__ = ("capacity", "present", "queues")

    def __init__(self, capacity: float, lanes: list[_Lane]) -> None:
        self.capacity = capacity
        self.present = 0
        self.queues = tuple(Queue(self, lane) for lane in lanes)


class Queue:
    """The flows of one lane on one link. Rates in bytes/s.

    Attributes:
        offer: what the lane may use here before second helpings.
        load: sum of the flows' fair rates; extra: of their second helpings in the group.
        bound: how many flows have their bottleneck here.
    """

    __slots__ = (
        "bound",
        "count",
        "extra",
        "flows",
        "free",
        "lane",
        "left",
        "level",
        "link",
        "load",
        "mark",
        "members",
        "offer",
    )

    def __init__(self, link: Link, lane: _Lane) -> None:
        self.link = link
        self.lane = lane
        self.flows: dict[Flow, None] = {}
        self.offer = link.capacity
        self.load = 0.0
        self.extra = 0.0
        self.bound = 0
        self.mark = 0  # the solving round that last touched the queue; the rest is its scratch
        self.free = 0.0
        self.left = 0.0
        self.count = 0
        self.level = 0.0
        self.members: list[Flow] = []


class Flow:
    """A flow on a path of queues of one lane, bytes/s.

    Its rate is `fair` (first helping) + `extra` (second, within the group) + `late` (what
    guarantees kept back in vain).
    """

    __slots__ = ("bottleneck", "extra", "fair", "late", "mark", "next", "queues")

    def __init__(self, queues: tuple[Queue, ...]) -> None:
        self.queues = queues
        self.fair = 0.0
        self.extra = 0.0
        self.late = 0.0
        self.bottleneck: Queue | None = None
        self.mark = 0
        self.next = 0.0


class _Lane:
    """A lane and the changes that wait for the next solving."""

    __slots__ = ("added", "loosened", "number", "refillable", "share")

    def __init__(self, number: int, share: float) -> None:
        self.number = number
        self.share = share
        self.refillable = False  # may get second helpings
        self.added: dict[Flow, None] = {}
        self.loosened: dict[Queue, None] = {}


class Sharing:
    """The rates of all flows; tell it of starts and ends, then `solve` once per instant."""

    def __init__(self, lanes: LaneTable) -> None:
        ordered = sorted(lanes.lanes, key=lambda lane: (lane.priority, lane.vl))
        if not lanes.enabled:
            ordered = ordered[:1]
        self._lanes = [_Lane(i, lane.min_share) for i, lane in enumerate(ordered)]
        priorities = sorted({lane.priority for lane in ordered})
        self._groups = [
            [self._lanes[i] for i, lane in enumerate(ordered) if lane.priority == priority]
            for priority in priorities
        ]
        for group in self._groups:
            for lane in group:
                lane.refillable = len(group) > 1 or group is not self._groups[-1]
        number = {lane.vl: i for i, lane in enumerate(ordered)}
        self.lane_of_vl = {vl: number.get(vl, 0) for vl in lanes.vl.values()}
        self._mixed = 0  # links with flows of several lanes
        self._stirred: dict[Link, None] = {}
        self._epoch = 0

    def link(self, capacity: float) -> Link:
        """A new link of `capacity` bytes/s."""
        return Link(capacity, self._lanes)

    def add(self, flow: Flow) -> None:
        """A flow starts."""
        for queue in flow.queues:
            if not queue.flows:
                link = queue.link
                link.present += 1
                if link.present == 1:
                    queue.offer = link.capacity
                else:
                    self._mixed += link.present == 2
                    self._stirred[link] = None
            queue.flows[flow] = None
        flow.queues[0].lane.added[flow] = None
        if self._mixed:
            self._stir(flow.queues)

    def remove(self, flow: Flow) -> None:
        """A flow ends."""
        queues = flow.queues
        lane = queues[0].lane
        if self._mixed:
            self._stir(queues)
        fair, extra = flow.fair, flow.extra
        if flow.bottleneck is not None:
            flow.bottleneck.bound -= 1
        else:
            del lane.added[flow]
        for queue in queues:
            flows = queue.flows
            del flows[flow]
            if flows:
                queue.load -= fair
                queue.extra -= extra
                if queue.bound:
                    lane.loosened[queue] = None
                continue
            queue.load = queue.extra = 0.0
            link = queue.link
            link.present -= 1
            if link.present:
                self._mixed -= link.present == 1
                self._stirred[link] = None

    def replace(self, old: Flow, new: Flow) -> None:
        """A flow starts on the very path on which another ends at the same instant."""
        new.fair, new.extra, new.late = old.fair, old.extra, old.late
        new.bottleneck = old.bottleneck
        for queue in new.queues:
            del queue.flows[old]
            queue.flows[new] = None

    def solve(self) -> list[Flow]:
        """Flows whose rate may have changed since the last call."""
        changed: list[Flow] = []
        stirred = self._stirred
        for group in self._groups:
            for lane in group:
                if stirred:
                    self._make_offers(lane, group)
                if lane.added or lane.loosened:
                    changed += self._fill(lane)
            if stirred and len(group) > 1:
                changed += self._refill(group, late=False)
        if stirred:
            for group in self._groups[:-1]:
                changed += self._refill(group, late=True)
            stirred.clear()
        return changed

    def _stir(self, queues: Iterable[Queue]) -> None:
        """Note links whose lanes may have to be balanced against each other anew."""
        for queue in queues:
            if queue.link.present > 1 or queue.lane.refillable:
                self._stirred[queue.link] = None

    def _make_offers(self, lane: _Lane, group: list[_Lane]) -> None:
        for link in self._stirred:
            queue = link.queues[lane.number]
            if not queue.flows:
                continue
            offer = link.capacity
            if link.present > 1:
                offer = self._group_offer(link, group) * _part(link, lane, group)
            if abs(offer - queue.offer) > _TIE * link.capacity:
                queue.offer = offer
                lane.loosened[queue] = None

    def _group_offer(self, link: Link, group: list[_Lane]) -> float:
        """What the groups before leave of a link, less the guarantees of those after."""
        first, last = group[0].number, group[-1].number
        offer = link.capacity
        for queue in link.queues:
            if not queue.flows:
                continue
            if queue.lane.number < first:
                offer -= queue.load + queue.extra
            elif queue.lane.number > last:
                offer -= queue.lane.share * link.capacity
        return max(offer, 0.0)

    def _fill(self, lane: _Lane) -> list[Flow]:
        """Make the lane's fair rates max-min fair again; the flows whose rate changed."""
        added, loosened = lane.added, lane.loosened
        if len(added) == 1 and not loosened:
            (flow,) = added
            if self._fill_alone(flow):
                added.clear()
                return [flow]
        self._epoch += 1
        epoch = self._epoch
        members: list[Flow] = []
        touched: list[Queue] = []
        found: list[Flow] = list(added)
        for queue in loosened:
            if queue.mark != epoch:
                _touch(queue, epoch)
                touched.append(queue)
            found += [flow for flow in queue.flows if flow.bottleneck is queue]
        for flow in added:
            found += _crowded(flow)
        added.clear()
        loosened.clear()
        while True:
            for flow in found:
                if flow.mark == epoch:
                    continue
                flow.mark = epoch
                members.append(flow)
                fair = flow.fair
                for queue in flow.queues:
                    if queue.mark != epoch:
                        _touch(queue, epoch)
                        touched.append(queue)
                        if queue.bound:
                            found += [f for f in queue.flows if f.bottleneck is queue]
                    queue.free += fair
                    queue.members.append(flow)
                if flow.bottleneck is not None:
                    flow.bottleneck.bound -= 1
            _water_fill(members, touched)
            found = []
            for queue in touched:
                # most are neither full nor anybody's bottleneck: nothing can break there
                if (queue.bound or queue.level >= 0.0 or queue.left < 0.0) and (
                    len(queue.members) != len(queue.flows)
                ):
                    found += _broken(queue, epoch)
            if not found:
                return self._commit(members, touched)

    def _fill_alone(self, flow: Flow) -> bool:
        """Try the common case: the flow's narrowest queue is all its own."""
        room = float("inf")
        narrowest = flow.queues[0]
        for queue in flow.queues:
            slack = queue.offer - queue.load
            if slack < room:
                room = slack
                narrowest = queue
        if len(narrowest.flows) > 1 or room <= 0.0:
            return False
        flow.fair = room
        flow.bottleneck = narrowest
        narrowest.bound = 1
        for queue in flow.queues:
            queue.load += room
        return True

    def _commit(self, members: list[Flow], touched: list[Queue]) -> list[Flow]:
        changed = []
        for flow in members:
            flow.bottleneck.bound += 1  # type: ignore[union-attr]
            if flow.next != flow.fair:
                flow.fair = flow.next
                changed.append(flow)
        for queue in touched:
            queue.load = queue.offer - queue.left
            queue.members = []
        if self._mixed:
            self._stir(touched)
        return changed

    def _refill(self, group: list[_Lane], *, late: bool) -> list[Flow]:
        """Second helpings for the group around the stirred links; the flows that have any.

        All flows that could use one, or had one, and are connected through shared links are
        solved together, from nothing.
        """

        def room(link: Link) -> float:
            if late:
                taken = sum(q.load + q.extra for q in link.queues if q.flows)
                return link.capacity - taken - _late(link, group)
            first = sum(link.queues[lane.number].load for lane in group)
            return self._group_offer(link, group) - first

        rooms: dict[Link, float] = {}

        def hungry(flow: Flow) -> bool:
            for queue in flow.queues:
                link = queue.link
                if link not in rooms:
                    rooms[link] = room(link)
                if rooms[link] <= _TIE * link.capacity:
                    return False
            return True

        reached: dict[Flow, None] = {}
        links = dict(self._stirred)
        waiting = list(links)
        while waiting:
            link = waiting.pop()
            for lane in group:
                for flow in link.queues[lane.number].flows:
                    had = flow.late if late else flow.extra
                    if flow not in reached and (had > 0.0 or hungry(flow)):
                        reached[flow] = None
                        for queue in flow.queues:
                            if queue.link not in links:
                                links[queue.link] = None
                                waiting.append(queue.link)
        if not reached:
            return []
        given = _second_helpings([f for f in reached if hungry(f)], rooms, group)
        for flow in reached:
            self._stir(flow.queues)
            amount = given.get(flow, 0.0)
            if late:
                flow.late = amount
                continue
            for queue in flow.queues:
                queue.extra += amount - flow.extra
            flow.extra = amount
        return list(reached)


def _part(link: Link, lane: _Lane, among: list[_Lane]) -> float:
    """The lane's part of what a link offers to those of `among` that have flows on it."""
    present = [other.share for other in among if link.queues[other.number].flows]
    total = sum(present)
    return lane.share / total if total > 0.0 else 1.0 / len(present)


def _late(link: Link, group: list[_Lane]) -> float:
    """What groups before this one were given late on a link, bytes/s."""
    before = link.queues[: group[0].number]
    return sum(flow.late for queue in before for flow in queue.flows)


def _crowded(flow: Flow) -> list[Flow]:
    """Flows that will probably have to make room for a new one."""
    guess = min([max(q.offer - q.load, q.offer / len(q.flows)) for q in flow.queues])
    crowded: list[Flow] = []
    for queue in flow.queues:
        if queue.load + guess > queue.offer:
            level = queue.offer / len(queue.flows)
            crowded += [other for other in queue.flows if other.fair > level]
    return crowded


def _touch(queue: Queue, epoch: int) -> None:
    queue.mark = epoch
    queue.free = queue.offer - queue.load
    queue.members = []


def _water_fill(members: list[Flow], touched: list[Queue]) -> None:
    """Max-min fair `next` rates and bottlenecks of `members` in the queues' `free` room."""
    for queue in touched:
        queue.left = queue.free
        queue.count = len(queue.members)
        queue.level = -1.0
    for flow in members:
        flow.next = -1.0
    unsolved = len(members)
    small = len(touched) <= _SCAN_LINKS
    lowest = partial(_by_scan, touched) if small else _by_heap(touched)
    while unsolved:
        narrowest = lowest()
        level = narrowest.left / narrowest.count
        if level < 0.0:
            level = 0.0
        narrowest.level = level
        for flow in narrowest.members:
            if flow.next < 0.0:
                flow.next = level
                flow.bottleneck = narrowest
                unsolved -= 1
                for queue in flow.queues:
                    queue.left -= level
                    queue.count -= 1


def _by_scan(touched: list[Queue]) -> Queue:
    """The queue that would hold its unsolved flows at the lowest level."""
    least = float("inf")
    for queue in touched:
        count = queue.count
        if count and queue.left < least * count:
            least = queue.left / count
            narrowest = queue
    return narrowest


def _by_heap(touched: list[Queue]) -> Callable[[], Queue]:
    """The same as a scan, knowing that levels only rise while flows are solved."""
    heap: list[Any] = [(q.left / q.count, i, q) for i, q in enumerate(touched) if q.count]
    heapify(heap)

    def lowest() -> Queue:
        while True:
            level, i, queue = heap[0]
            if not queue.count:
                heappop(heap)
                continue
            now = queue.left / queue.count
            if now <= level:
                return queue  # type: ignore[no-any-return]
            heapreplace(heap, (now, i, queue))

    return lowest


def _broken(queue: Queue, epoch: int) -> list[Flow]:
    """Flows held fixed whose bottleneck, or whose slower neighbour's, is one no more."""
    if queue.bound:
        for flow in queue.members:
            if abs(flow.next - flow.fair) > _TIE * flow.fair:
                return [f for f in queue.flows if f.bottleneck is queue and f.mark != epoch] + (
                    _faster(queue, epoch)
                )
    return _faster(queue, epoch)


def _faster(queue: Queue, epoch: int) -> list[Flow]:
    """Flows held fixed that take more than the level at which the queue holds others."""
    full = queue.left < -_TIE * queue.link.capacity
    if queue.level < 0.0 and not full:
        return []
    level = max(queue.level, queue.offer / len(queue.flows)) * (1.0 + _TIE)
    return [flow for flow in queue.flows if flow.fair > level and flow.mark != epoch]


def _second_helpings(
    flows: list[Flow], rooms: dict[Link, float], group: list[_Lane]
) -> dict[Flow, float]:
    """Share out the room on links among flows of equal priority (see the module)."""
    given = dict.fromkeys(flows, 0.0)
    for turn in range(len(group)):
        by_lane: dict[_Lane, list[Flow]] = {lane: [] for lane in group}
        waiting: dict[Link, dict[_Lane, None]] = {}
        for flow in flows:
            if all(rooms[q.link] > _TIE * q.link.capacity for q in flow.queues):
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


def _weight(lane: _Lane, waiting: Iterable[_Lane]) -> float:
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
