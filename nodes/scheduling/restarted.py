"""The scheduler in a later life of its program: it knows nothing, and asks before it goes on.

What nodes have in their hands goes on there. Requests of which only one side has its part left are
tried again, and so is what nobody has; whoever has something that nobody waits for is told. Nodes
that say nothing for as long as a lease are taken for dead, and have to begin anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.protocol.messages import (
    SCHEDULER_LIFE,
    Alive,
    Cancel,
    Fence,
    Held,
    Message,
    Recount,
    Unfinished,
)
from nodes.protocol.world import World
from nodes.scheduling.failover import FailoverScheduler, Told, Trouble
from nodes.scheduling.gathering import Gathering, Standing
from nodes.scheduling.ledger import State
from plan.deployment import System
from plan.faults import AttemptRecord, Recovery
from plan.model import Plan

LOOKS = 10
"""In a heartbeat, at whether all have answered."""


class RestartedScheduler(FailoverScheduler):
    """See the module, and `FailoverScheduler`."""

    def __init__(
        self, world: World, plan: Plan, system: System, recovery: Recovery, told: Told
    ) -> None:
        FailoverScheduler.__init__(self, world, plan, system, recovery, told)
        self._number = (world.life - 1) * SCHEDULER_LIFE
        self._gathering: Gathering | None = Gathering(self._listeners)

    def start(self) -> None:
        self._world.spawn(self._begin_anew())

    def handle(self, message: Message) -> None:
        gathering = self._gathering
        if gathering is not None:
            gathering.heard(message)
            if isinstance(message, Alive) and message.node not in gathering.held:
                self._ask([message.node])  # it was not there before
        elif not isinstance(message, Held | Unfinished):
            FailoverScheduler.handle(self, message)

    async def _begin_anew(self) -> None:
        clock, gathering = self._world.clock, self._gathering
        assert gathering is not None
        look_s = self._recovery.heartbeat_s / LOOKS
        until_s = clock.now() + self._recovery.lease_s
        self._ask(self._listeners)
        while gathering.silent and clock.now() < until_s:
            await clock.sleep_until(clock.now() + look_s)
        looks = 0
        while gathering.requests is None:
            if looks % LOOKS == 0:
                self._ask([self._agents])
            looks += 1
            await clock.sleep_until(clock.now() + look_s)
        self._gathering = None
        self._go_on(gathering)
        await self._watch()

    def _ask(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._world.send(node, Recount(self._world.node))

    def _go_on(self, gathering: Gathering) -> None:
        there = self._found(gathering)
        standings = gathering.standings(there)
        for standing in standings:
            self._take_up(standing)
        for node in there:
            for assign in gathering.held[node].serving:
                record = self.ledger.records.get(assign.request.number)
                current = record is not None and record.attempt == assign.attempt_number
                if not current or (record is not None and record.state is State.WAITING):
                    self._world.send(node, Cancel(assign.attempt))
        for side in (self.ledger.prefill, self.ledger.decode):
            for group in [number for number, engines in side.groups.items() if engines]:
                self.ledger.fetching[group] = None
        self._tell_members()
        going = sum(standing.assign is not None and not standing.lost for standing in standings)
        found = f"{going} of {len(standings)} requests go on where they are"
        life = self._world.life
        self._note("recovered", self._world.node, f"it schedules again, life {life}; {found}")
        for message in gathering.later():
            self.handle(message)
        self._let_come()

    def _found(self, gathering: Gathering) -> list[str]:
        """Who is there; the others are away."""
        there = []
        for node in self._listeners:
            held = gathering.held.get(node)
            if held is None:
                self._leases.gone(node)
                self.ledger.away(node)
                self._note("detected", node, "it does not answer a scheduler that begins anew")
            elif gathering.fenced(node):
                self._leases.gone(node, held.life)
                self.ledger.away(node)
                self._world.send(node, Fence(held.life))
            else:
                self._leases.found(node, held.life, self._world.clock.now())
                there.append(node)
                if held.report is not None:
                    self.ledger.reported(held.report)
        return there

    def _take_up(self, standing: Standing) -> None:
        """A request is where it is, waits, or is tried again."""
        record, number = self.ledger.submitted(standing.request), standing.number
        if not number:
            self._coming.append(record)
            return
        record.attempt = number
        assign = standing.assign
        trouble = self._troubles[record.request.number] = Trouble()
        if assign is not None:
            trouble.assigned_s = assign.assigned_s
        if assign is not None and standing.lost is None:
            self.ledger.taken_up(record, assign.pe, assign.de, prefilled=standing.prefilled)
            return
        cause = standing.lost or "it came to nothing"
        last = self._recovery.request == "fail" or number >= self._recovery.attempts
        if assign is not None:
            failed = AttemptRecord(
                request=record.request.number,
                number=number,
                pe=assign.pe,
                de=assign.de,
                assigned_s=assign.assigned_s,
                failed_s=self._world.clock.now(),
                cause=cause,
                last=last,
            )
            self._told(failed)
        if last:
            self._give_up(record, f"{cause}; that was attempt {number}")
            return
        record.attempt += 1
        self._coming.append(record)
