"""The modelled network of a run in virtual time: transfers as fluid flows.

A transfer has, at every instant, the rate that `lane_sharing` gives it on its path
through the fabric; rates change only when a transfer starts or ends, so between changes
nothing is computed. All changes of an instant are solved together, and a transfer that
starts where another on the same path just ended takes its place without any solving.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Final, cast

from nodes.worlds.virtual.agenda import Agenda
from nodes.worlds.virtual.flow_routes import StaticRoutes, link_rates_bps
from nodes.worlds.virtual.lane_sharing import Sharing
from nodes.worlds.virtual.lane_state import Flow, Queue
from plan.fabric import Fabric
from plan.lanes import LaneTable, TrafficClass
from plan.records import CounterSample

_TOGETHER_S: Final = 1e-10
"""Transfers that end this close together end together (5 bytes at 400 Gbit/s)."""

_NEVER: Final = float("inf")

_PATHS_KEPT = 1 << 16


class _Path:
    """Queues that share out bandwidth, and all links on which bytes are counted."""

    __slots__ = ("links", "queues", "vl")

    def __init__(self, queues: tuple[Queue, ...], links: tuple[int, ...], vl: int) -> None:
        self.queues = queues
        self.links = links
        self.vl = vl


class _Transfer(Flow):
    """A transfer under way: `left` bytes at model time `since`, then `rate` bytes/s.

    `due` is when its earliest entry among the endings comes up: at or before `finish`.
    """

    __slots__ = ("arrived", "due", "finish", "left", "over", "path", "rate", "since", "size")

    def __init__(self, path: _Path, size: float, arrived: Callable[[], object]) -> None:
        Flow.__init__(self, path.queues)
        self.path = path
        self.size = size
        self.left = size
        self.rate = 0.0
        self.since = 0.0
        self.finish = _NEVER
        self.due = _NEVER
        self.over = False
        self.arrived = arrived


class FlowNetwork:
    """Moves bytes between ends of a fabric in the model time of an event loop.

    Args:
        agenda: keeps model time, and what is due.
        fabric, lanes: what is modelled; every NIC and link has `rate_bps` each way.
        submit_s: cost of submitting a transfer (paper section 3), seconds before it starts.
        routes: (source end, target end) -> directed links, numbered as in
            `nodes.worlds.virtual.flow_routes`; None is the emulated fabric's own routing.
    """

    def __init__(
        self,
        agenda: Agenda,
        fabric: Fabric,
        lanes: LaneTable,
        *,
        submit_s: float = 0.0,
        routes: Callable[[str, str], tuple[int, ...]] | None = None,
    ) -> None:
        self._agenda = agenda
        self._fabric = fabric
        self._lanes = lanes
        self._submit_s = submit_s
        self._sharing = Sharing(lanes)
        rates = link_rates_bps(fabric)
        self._links = [self._sharing.link(rate_bps / 8.0) for rate_bps in rates]
        static = StaticRoutes(fabric)
        self._routes: Callable[[str, str], tuple[int, ...]] = routes or static
        self._skipped: frozenset[int] = frozenset()
        if routes is None:
            self._skipped = static.never_full()
        self._path = lru_cache(_PATHS_KEPT)(self._find_path)

        self._active: dict[_Transfer, None] = {}
        self._leaving: dict[tuple[Queue, ...], _Transfer] = {}
        self._endings: list[tuple[float, int, _Transfer]] = []
        self._order = count().__next__
        self._ending = agenda.alarm(self._wake)
        self._settling = False

        self._bytes = [0.0] * len(rates)
        self._lane_bytes = {lane.vl: 0.0 for lane in lanes.lanes}

    def transfer(
        self,
        src_end: str,
        dst_end: str,
        lane_class: TrafficClass,
        size_bytes: float,
        arrived: Callable[[], object],
    ) -> None:
        """Send bytes; `arrived` is called when the last one has arrived.

        Raises:
            ValueError: the size is not a number >= 0, or no route joins the ends.
        """
        if not 0.0 <= size_bytes < _NEVER:
            raise ValueError(f"size_bytes must be a finite number >= 0, not {size_bytes!r}")
        flow = _Transfer(self._path(src_end, dst_end, lane_class), size_bytes, arrived)
        if self._submit_s:
            self._agenda.at(self._agenda.now_s + self._submit_s, self._start, (flow,))
        else:
            self._start(flow)

    def counters(self, t_s: float) -> CounterSample:
        """What every NIC, link and lane has carried by `t_s`, bytes.

        Raises:
            ValueError: `t_s` is not the present: what was not sampled then is gone.
        """
        if t_s != self._agenda.now_s:
            raise ValueError(f"t_s must be the present, {self._agenda.now_s!r}, not {t_s!r}")
        carried, by_lane = self._bytes.copy(), self._lane_bytes.copy()
        for flow in self._active:
            moved = min(flow.size, flow.size - flow.left + flow.rate * (t_s - flow.since))
            for link in flow.path.links:
                carried[link] += moved
            by_lane[flow.path.vl] += moved * len(flow.path.links)
        pairs = list(zip(carried[::2], carried[1::2], strict=True))
        nics = self._fabric.nics
        return CounterSample(
            t_s=t_s,
            nics={nic.name: pair for nic, pair in zip(nics, pairs, strict=False)},
            links={
                link.name: pair
                for link, pair in zip(self._fabric.links, pairs[len(nics) :], strict=True)
            },
            lanes={lane.name: (by_lane[lane.vl], 0) for lane in self._lanes.lanes},
        )

    def _find_path(self, src_end: str, dst_end: str, lane_class: TrafficClass) -> _Path:
        links = self._routes(src_end, dst_end)
        vl = self._lanes.vl[lane_class]
        lane = self._sharing.lane_of_vl[vl]
        kept = (self._links[link] for link in links if link not in self._skipped)
        return _Path(tuple(link.queues[lane] for link in kept), links, vl)

    def _start(self, flow: _Transfer) -> None:
        if not flow.size:
            flow.arrived()
            return
        now = self._agenda.now_s
        flow.since = now
        self._active[flow] = None
        ended = self._leaving.pop(flow.queues, None)
        if ended is None:
            self._sharing.add(flow)
            self._settle_soon(now)
            return
        self._sharing.replace(ended, flow)
        flow.rate = ended.rate
        self._expect(flow)

    def _expect(self, flow: _Transfer) -> None:
        """Note when the transfer ends at its present rate; a sooner entry stays as a reminder."""
        finish = flow.since + flow.left / flow.rate if flow.rate > 0.0 else _NEVER
        flow.finish = finish
        if finish < flow.due:
            flow.due = finish
            heappush(self._endings, (finish, self._order(), flow))

    def _settle_soon(self, now: float) -> None:
        """Solve once nothing else is ready at this instant."""
        if not self._settling:
            self._settling = True
            self._agenda.at(now, self._settle, ())

    def _settle(self) -> None:
        self._settling = False
        sharing, now = self._sharing, self._agenda.now_s
        if self._leaving:
            for ended in self._leaving.values():
                sharing.remove(ended)
            self._leaving.clear()
        for flow in cast(list[_Transfer], sharing.solve()):
            rate = flow.fair + flow.extra + flow.late
            if rate != flow.rate:
                left = flow.left - flow.rate * (now - flow.since)
                flow.left = left if left > 0.0 else 0.0
                flow.since = now
                flow.rate = rate
                self._expect(flow)
        self._arm()

    def _arm(self) -> None:
        endings = self._endings
        while endings:
            first, _, flow = endings[0]
            if not flow.over and flow.finish == first:
                if first < self._ending.when_s:
                    self._ending.set(first)
                return
            if flow.over or flow.due != first:
                heappop(endings)
            elif flow.finish == _NEVER:
                flow.due = _NEVER
                heappop(endings)
            else:
                flow.due = flow.finish
                heapreplace(endings, (flow.finish, self._order(), flow))

    def _wake(self) -> None:
        now, endings = self._agenda.now_s, self._endings
        horizon = now + _TOGETHER_S
        while endings and endings[0][0] <= horizon:
            flow = heappop(endings)[2]
            if flow.over:
                continue
            if flow.finish <= horizon:
                self._end(flow)
            elif flow.due <= horizon:
                flow.due = _NEVER
                self._expect(flow)
        if self._leaving:
            self._settle_soon(now)
        else:
            self._arm()

    def _end(self, flow: _Transfer) -> None:
        flow.over = True
        del self._active[flow]
        size, path = flow.size, flow.path
        for link in path.links:
            self._bytes[link] += size
        self._lane_bytes[path.vl] += size * len(path.links)
        if flow.queues in self._leaving:
            self._sharing.remove(flow)
            self._settle_soon(self._agenda.now_s)
        else:
            self._leaving[flow.queues] = flow
        flow.arrived()
