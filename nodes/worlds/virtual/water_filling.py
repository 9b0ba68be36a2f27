"""Water filling: the fair rates of one lane's flows, made max-min fair again after changes.

Max-min rates are characterised locally: every flow has a bottleneck, a full link on which no
flow of its lane is faster. After a change only the flows around it are solved again, all
others held fixed; flows whose bottleneck the result would break are added, until none is
left.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heapreplace
from typing import Any, Final

from nodes.worlds.virtual.lane_state import TIE, Flow, Lane, Queue

_SCAN_LINKS: Final = 128
"""Up to so many links a scan finds the next bottleneck sooner than a heap."""


def fill(lane: Lane, epoch: int) -> tuple[list[Flow], list[Queue]]:
    """Solve the lane's waiting changes; flows whose fair rate changed, and touched queues.

    Args:
        epoch: a number that no earlier call was given.
    """
    added, loosened = lane.added, lane.loosened
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
            return _commit(members, touched), touched


def fill_alone(flow: Flow) -> bool:
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


def _commit(members: list[Flow], touched: list[Queue]) -> list[Flow]:
    changed = []
    for flow in members:
        flow.bottleneck.bound += 1  # type: ignore[union-attr]
        if flow.next != flow.fair:
            flow.fair = flow.next
            changed.append(flow)
    for queue in touched:
        queue.load = queue.offer - queue.left
        queue.members = []
    return changed


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
            if abs(flow.next - flow.fair) > TIE * flow.fair:
                return [f for f in queue.flows if f.bottleneck is queue and f.mark != epoch] + (
                    _faster(queue, epoch)
                )
    return _faster(queue, epoch)


def _faster(queue: Queue, epoch: int) -> list[Flow]:
    """Flows held fixed that take more than the level at which the queue holds others."""
    full = queue.left < -TIE * queue.link.capacity
    if queue.level < 0.0 and not full:
        return []
    level = max(queue.level, queue.offer / len(queue.flows)) * (1.0 + TIE)
    return [flow for flow in queue.flows if flow.fair > level and flow.mark != epoch]
