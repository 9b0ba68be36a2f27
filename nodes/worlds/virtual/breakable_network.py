"""The modelled network where it can break: links that carry nothing or less, and the routes that
the controller changes.

A transfer whose way is cut stands still with what it has sent; when a way is there again,
another one perhaps, it goes on. One that has stood still for too long, or whose end is gone,
fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod

from nodes.worlds.virtual.agenda import Agenda
from nodes.worlds.virtual.flow_network import _NEVER, FlowNetwork, _Path, _Transfer
from nodes.worlds.virtual.flow_routes import INTACT, StaticRoutes, link_rates_bps
from plan.fabric import Fabric
from plan.lanes import LaneTable, TrafficClass
from plan.routing import Port


class _Breakable(_Transfer):
    """A transfer that may be cut: `stuck_s` is since when it stands still, -1 where it does
    not."""

    __slots__ = ("ends", "failed", "stuck_s", "traffic", "whole")

    def __init__(
        self,
        path: _Path,
        ends: tuple[str, str],
        traffic: TrafficClass,
        size: float,
        arrived: Callable[[], object],
        failed: Callable[[float, bool], object],
    ) -> None:
        _Transfer.__init__(self, path, size, arrived)
        self.ends = ends
        self.traffic = traffic
        self.failed = failed
        self.stuck_s = -1.0
        self.whole = size


class BreakableNetwork(FlowNetwork):
    """See the module.

    Args:
        patience_s: after so long without a way a transfer fails.

    Attributes:
        patience_s: the same.
        unrouted: ports around which all routes go; what lies there is not used.
    """

    def __init__(self, agenda: Agenda, fabric: Fabric, lanes: LaneTable, patience_s: float) -> None:
        FlowNetwork.__init__(self, agenda, fabric, lanes)
        self.patience_s = patience_s
        # what an intact fabric never fills it may fill when a link is slow
        self._skipped = frozenset()
        self._rates = [rate_bps / 8.0 for rate_bps in link_rates_bps(fabric)]
        self._cuts: dict[int, int] = {}  # link -> how many faults cut it
        self._factors: dict[int, list[float]] = {}
        self._stuck: dict[_Breakable, None] = {}
        self._nowhere = _Path((), (), lanes.lanes[0].vl)
        self.unrouted: frozenset[Port] = INTACT

    def send(
        self,
        ends: tuple[str, str],
        traffic: TrafficClass,
        size_bytes: float,
        arrived: Callable[[], object],
        failed: Callable[[float, bool], object],
    ) -> None:
        """Send bytes from one end to another; either callback is called, once.

        Args:
            failed: told how many of the bytes had been sent, and whether it stood still for too
                long; else its end is gone.
        """
        flow = _Breakable(self._nowhere, ends, traffic, size_bytes, arrived, failed)
        if not size_bytes:
            arrived()
            return
        self._begin(flow)

    def way(self, source: str, target: str, traffic: TrafficClass) -> _Path | None:
        """The path of a transfer; None where it leads over what is cut, or nowhere, or where what
        acknowledges it would."""
        try:
            path = self._path(source, target, traffic)
            if not self._cuts:
                return path
            back = self._path(target, source, traffic)
        except ValueError:
            return None
        for link in (*path.links, *back.links):
            if link in self._cuts:
                return None
        return path

    def cut(self, links: Iterable[int]) -> None:
        """These directed links carry nothing any more."""
        for link in links:
            self._cuts[link] = self._cuts.get(link, 0) + 1
        for flow in self._flows():
            if self.way(*flow.ends, flow.traffic) is None:
                self._halt(flow)
                self._stand(flow)

    def mend(self, links: Iterable[int]) -> None:
        """A cut is over."""
        for link in links:
            self._cuts[link] -= 1
            if not self._cuts[link]:
                del self._cuts[link]
        self._go_on()

    def reroute(self, down: frozenset[Port]) -> None:
        """All routes go around ports; what is under way goes on over its new one."""
        self.unrouted = down
        self._routes = StaticRoutes(self._fabric, down)
        self._path.cache_clear()
        for flow in self._flows():
            path = self.way(*flow.ends, flow.traffic)
            if path is None or path.links != flow.path.links:
                self._halt(flow)
                self._begin(flow)
        self._go_on()

    def slow(self, links: Iterable[int], factor: float) -> None:
        """A share of the rate is left; with other such faults, of what they leave."""
        for link in links:
            self._factors.setdefault(link, []).append(factor)
            self._resize(link)

    def quicken(self, links: Iterable[int], factor: float) -> None:
        """That fault is over."""
        for link in links:
            self._factors[link].remove(factor)
            self._resize(link)

    def rate_share(self, link: int) -> float:
        """What is left of a directed link's rate, as it is shared out: 0 where it is cut."""
        return 0.0 if link in self._cuts else self._links[link].capacity / self._rates[link]

    def crossed(self, links: Iterable[int]) -> bool:
        """Whether anything is under way over these directed links."""
        wanted = set(links)
        return any(not wanted.isdisjoint(flow.path.links) for flow in self._flows())

    def abandon(self, ends: frozenset[str]) -> None:
        """Transfers from or to these ends fail."""
        gone = [f for f in (*self._flows(), *self._stuck) if not ends.isdisjoint(f.ends)]
        for flow in gone:
            if not flow.over:
                self._fail(flow, stalled=False)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self._active or self._stuck)

    def _flows(self) -> list[_Breakable]:
        return [flow for flow in self._active if isinstance(flow, _Breakable)]

    def _begin(self, flow: _Breakable) -> None:
        path = self.way(*flow.ends, flow.traffic)
        if path is None:
            self._stand(flow)
            return
        flow.path = path
        flow.queues = path.queues
        flow.stuck_s = -1.0
        self._start(flow)

    def _halt(self, flow: _Breakable) -> None:
        """Take a transfer off its path; what it has sent is counted there."""
        self._let_go()
        now = self._agenda.now_s
        moved = min(flow.size, flow.size - flow.left + flow.rate * (now - flow.since))
        for link in flow.path.links:
            self._bytes[link] += moved
        self._lane_bytes[flow.path.vl] += moved * len(flow.path.links)
        del self._active[flow]
        self._sharing.remove(flow)
        flow.fair = flow.extra = flow.late = flow.rate = 0.0
        flow.bottleneck = None
        flow.size = flow.left = flow.size - moved
        flow.finish = _NEVER
        self._settle_soon(now)

    def _let_go(self) -> None:
        """Nobody takes the places any more of those that have just ended."""
        for ended in self._leaving.values():
            self._sharing.remove(ended)
        self._leaving.clear()

    def _stand(self, flow: _Breakable) -> None:
        now = self._agenda.now_s
        self._stuck[flow] = None
        if flow.stuck_s < 0.0:
            flow.stuck_s = now
            self._agenda.at(now + self.patience_s, self._look, (flow, now))

    def _look(self, flow: _Breakable, since_s: float) -> None:
        if flow in self._stuck and flow.stuck_s == since_s:
            self._fail(flow, stalled=True)

    def _go_on(self) -> None:
        """Those that stood still begin again, where there is a way."""
        for flow in list(self._stuck):
            if self.way(*flow.ends, flow.traffic) is not None:
                del self._stuck[flow]
                self._resume(flow)

    def _resume(self, flow: _Breakable) -> None:
        if flow.left > 0.0:
            self._begin(flow)
        else:
            flow.over = True
            flow.arrived()

    def _fail(self, flow: _Breakable, *, stalled: bool) -> None:
        if flow in self._stuck:
            del self._stuck[flow]
        else:
            self._halt(flow)
        flow.over = True
        flow.failed(flow.whole - flow.left, stalled)

    def _resize(self, link: int) -> None:
        self._let_go()
        factors = self._factors[link]
        self._sharing.resize(self._links[link], self._rates[link] * prod(factors))
        self._settle_soon(self._agenda.now_s)
