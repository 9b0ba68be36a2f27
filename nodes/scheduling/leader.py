"""Groups and their leader engines: a node reports, its group's leader fetches for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodes.protocol.messages import Attempt, Fetch, Report
from nodes.protocol.world import World
from plan.model import Plan


class Leader:
    """A node's place in its group: rank 0 talks to the scheduler, the others to rank 0.

    Something is said when something changed, at most once a fetch interval.

    Args:
        read_queue: the node's disk read queue, tokens, at the moment of the call.
    """

    def __init__(self, world: World, plan: Plan, read_queue: Callable[[], int]) -> None:
        self._world = world
        self._interval_s = plan.constants.fetch_interval_s
        self._group, members = next(
            (number, group) for number, group in enumerate(plan.groups) if world.node in group
        )
        # a report that a dead leader had would be lost
        self._leads = members[0] == world.node or plan.recovery is not None
        self._to = plan.fabric.nodes_of("scheduler")[0].name if self._leads else members[0]
        self._read_queue = read_queue
        self._reports: list[Report] = []
        self._finished: list[Attempt] = []
        self._pool: dict[int, bool] = {}
        self._held: dict[int, None] = {}
        self._changed = asyncio.Event()
        self._changed.set()

    def changed(self) -> None:
        """The node's load is not what was last reported."""
        self._changed.set()

    def finished(self, attempt: Attempt) -> None:
        """An attempt has left the node's engines."""
        self._finished.append(attempt)
        self._changed.set()

    def pooled(self, trajectory: int, held: bool) -> None:  # noqa: FBT001  the pool calls it
        """The node's DRAM pool holds an entry of the trajectory, or no longer does."""
        self._pool[trajectory] = held
        if held:
            self._held[trajectory] = None
        else:
            self._held.pop(trajectory, None)
        self._changed.set()

    def heard(self, report: Report) -> None:
        """Another node of the group reported to this, its leader."""
        self._reports.append(report)
        self._changed.set()

    def all_of_it(self) -> Report:
        """A report that goes by no earlier one: who ends is missing among those that are served."""
        self._finished, self._pool = [], {}
        pool = tuple((trajectory, True) for trajectory in self._held)
        return Report(self._world.node, (), self._read_queue(), pool)

    async def run(self) -> None:
        """Report whenever there is something to say; never ends."""
        clock = self._world.clock
        while True:
            await self._changed.wait()
            self._changed.clear()
            own = Report(
                self._world.node,
                tuple(self._finished),
                self._read_queue(),
                tuple(self._pool.items()),
            )
            self._finished = []
            self._pool = {}
            if self._leads:
                reports, self._reports = self._reports, []
                self._world.send(self._to, Fetch(self._group, (*reports, own)))
            else:
                self._world.send(self._to, own)
            await clock.sleep_until(clock.now() + self._interval_s)
