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

The solver is incremental: `water_filling` solves a lane's fair rates around what changed,
`second_helpings` what its group then leaves.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.worlds.virtual.lane_state import TIE, Flow, Lane, Link, Queue
from nodes.worlds.virtual.second_helpings import refill
from nodes.worlds.virtual.water_filling import fill, fill_alone
from plan.lanes import LaneTable


class Sharing:
    """The rates of all flows; tell it of starts and ends, then `solve` once per instant."""

    def __init__(self, lanes: LaneTable) -> None:
        ordered = sorted(lanes.lanes, key=lambda lane: (lane.priority, lane.vl))
        if not lanes.enabled:
            ordered = ordered[:1]
        self._lanes = [Lane(i, lane.min_share) for i, lane in enumerate(ordered)]
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

    def resize(self, link: Link, capacity: float) -> None:
        """A link has another capacity from now on, bytes/s, above 0."""
        link.capacity = capacity
        for queue in link.queues:
            if not queue.flows:
                queue.offer = capacity
        self._stirred[link] = None

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

    def _make_offers(self, lane: Lane, group: list[Lane]) -> None:
        for link in self._stirred:
            queue = link.queues[lane.number]
            if not queue.flows:
                continue
            offer = link.capacity
            if link.present > 1:
                offer = link.offer_to(group) * _part(link, lane, group)
            if abs(offer - queue.offer) > TIE * link.capacity:
                queue.offer = offer
                lane.loosened[queue] = None

    def _fill(self, lane: Lane) -> list[Flow]:
        """Make the lane's fair rates max-min fair again; the flows whose rate changed."""
        added = lane.added
        if len(added) == 1 and not lane.loosened:
            (flow,) = added
            if fill_alone(flow):
                added.clear()
                return [flow]
        self._epoch += 1
        changed, touched = fill(lane, self._epoch)
        if self._mixed:
            self._stir(touched)
        return changed

    def _refill(self, group: list[Lane], *, late: bool) -> list[Flow]:
        """Second helpings for the group around the stirred links; the flows that have any."""
        changed = refill(group, self._stirred, late=late)
        for flow in changed:
            self._stir(flow.queues)
        return changed


def _part(link: Link, lane: Lane, among: list[Lane]) -> float:
    """The lane's part of what a link offers to those of `among` that have flows on it."""
    present = [other.share for other in among if link.queues[other.number].flows]
    total = sum(present)
    return lane.share / total if total > 0.0 else 1.0 / len(present)
