"""The central scheduler: it queues requests, asks its policy who gets what, and tells them.

A request is dispatched once both its PE and its DE are chosen.
"""

from __future__ import annotations

from collections import deque

from nodes.protocol.messages import Assign, Fetch, Message, Request, Submit
from nodes.protocol.world import World
from nodes.scheduling.ledger import Ledger, Record
from nodes.scheduling.policy import Read
from nodes.scheduling.registry import inter_engine_policy
from plan.deployment import System
from plan.model import Plan


class SchedulerNode:
    """One per cluster."""

    def __init__(self, world: World, plan: Plan, system: System) -> None:
        self._world = world
        self._tokens = plan.layout.tokens
        self._policy = inter_engine_policy(system, plan.constants, plan.plugins)
        self.ledger = Ledger.of(plan)
        self._pe_queue: deque[Request] = deque()
        self._de_queue: deque[Request] = deque()
        self._private: dict[int, deque[Request]] = {
            group: deque() for group in self.ledger.decode.groups
        }

    def start(self) -> None:
        """The scheduler acts on messages only."""

    def handle(self, message: Message) -> None:
        match message:
            case Submit():
                self._submitted(message.request)
            case Fetch():
                self._fetched(message)
            case _:
                raise TypeError(f"the scheduler cannot handle {message!r}")

    def _submitted(self, request: Request) -> None:
        self.ledger.submitted(request)
        self._pe_queue.append(request)
        self._de_queue.append(request)
        self._give()

    def _fetched(self, fetch: Fetch) -> None:
        for report in fetch.reports:
            self.ledger.reported(report)
        self.ledger.fetching[fetch.group] = None
        self._give()

    def _give(self) -> None:
        """Give every open group what it can take; a fetch is answered by something only."""
        for group in tuple(self._policy.open_groups(self.ledger)):
            fill = self._fill_des if group in self._private else self._fill_pes
            if fill(group):
                self.ledger.fetching.pop(group, None)

    def _fill_pes(self, group: int) -> bool:
        given = False
        while self._pe_queue:
            engine = self._policy.choose_pe(self.ledger, group, self._pe_queue[0])
            if engine is None:
                break
            record = self.ledger.records[self._pe_queue.popleft().number]
            self.ledger.give_pe(record, engine)
            self._dispatch_if_chosen(record)
            given = True
        return given

    def _fill_des(self, group: int) -> bool:
        while self._de_queue:
            request = self._de_queue.popleft()
            chosen = self._policy.choose_group(self.ledger, request)
            self.ledger.give_group(self.ledger.records[request.number], chosen)
            self._private[chosen].append(request)
        private = self._private[group]
        if not private:
            return False
        engines = self._policy.choose_des(self.ledger, group, private)
        for engine in engines:
            record = self.ledger.records[private.popleft().number]
            self.ledger.give_de(record, engine)
            self._dispatch_if_chosen(record)
        return bool(engines)

    def _dispatch_if_chosen(self, record: Record) -> None:
        pe, de = record.pe, record.de
        if pe is None or de is None:
            return
        request = self._asked(record)
        hits, pe_blocks = request.cached // self._tokens, 0
        if hits:
            share = self._pe_share(record, Read(request, pe, de, hits * self._tokens))
            pe_blocks = round(hits * share)
            de_blocks = hits - pe_blocks
            self.ledger.give_read(record, share, pe_blocks * self._tokens, de_blocks * self._tokens)
        assign = Assign(
            request, pe.name, de.name, pe_blocks, self._world.clock.now(), record.attempt
        )
        self._world.send(pe.node, assign)
        self._world.send(de.node, assign)

    def _asked(self, record: Record) -> Request:
        """The request as it is given out."""
        return record.request

    def _pe_share(self, _record: Record, read: Read) -> float:
        """The prefill side's share of a read."""
        return self._policy.pe_share(self.ledger, read)
