"""The scheduler of a run with recovery: it notices who dies, and sees to their requests.

Every node gives signs of life. What a node that is taken for dead had in its hands is tried
again elsewhere, by a new number of the attempt, a bounded number of times; so is what a node
says it could not do. A node that lives on after it was taken for dead has to begin anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from nodes.protocol.messages import (
    Alive,
    Attempt,
    Cancel,
    Done,
    Failed,
    Fence,
    Fetch,
    Members,
    Message,
    Request,
)
from nodes.protocol.world import World
from nodes.scheduling.leases import Leases
from nodes.scheduling.ledger import Record, State
from nodes.scheduling.policy import Read
from nodes.scheduling.scheduler import SchedulerNode
from plan.deployment import System
from plan.faults import AttemptRecord, FaultEvent, Recovery
from plan.model import Plan
from plan.records import RequestRecord

Told = Callable[[FaultEvent | AttemptRecord], None]


class Trouble:
    """What an unfinished request has been through.

    Attributes:
        refused: sides on which its hits could not be read.
        assigned_s: when the present attempt was given out; None: it was not yet.
    """

    __slots__ = ("assigned_s", "refused")

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.assigned_s: float | None = None


class FailoverScheduler(SchedulerNode):
    """See the module.

    Args:
        told: hears of what is noticed, and of attempts that came to nothing.
    """

    def __init__(
        self, world: World, plan: Plan, system: System, recovery: Recovery, told: Told
    ) -> None:
        SchedulerNode.__init__(self, world, plan, system)
        self._recovery = recovery
        self._told = told
        self._dual = system.paths != "pe"
        self._agents = plan.fabric.nodes_of("agents")[0].name
        engines = [node.name for node in plan.fabric.engine_nodes]
        self._listeners = [*engines, *(node.name for node in plan.fabric.nodes_of("storage"))]
        self._leases = Leases(self._listeners, recovery.lease_s, world.clock.now())
        self._number = 0
        self._troubles: dict[int, Trouble] = {}
        self._lost: dict[str, set[int]] = {}  # dead node -> its requests that wait for another
        self._bare_s: float | None = None
        self._coming: deque[Record] = deque()  # to the queues, one by one

    def start(self) -> None:
        self._world.spawn(self._watch())

    def handle(self, message: Message) -> None:
        match message:
            case Alive():
                self._heard(message)
            case Failed():
                self._failed(message)
            case Fetch():
                if all(self._leases.lives[report.node] for report in message.reports):
                    self._fetched(message)
            case _:
                SchedulerNode.handle(self, message)

    async def _watch(self) -> None:
        """Look for leases that have ended; never ends."""
        clock = self._world.clock
        while True:
            await clock.sleep_until(clock.now() + self._recovery.heartbeat_s / 2)
            for node in self._leases.expired(clock.now()):
                self._died(node, f"no sign of life for {self._recovery.lease_s:g} s")
            self._look_for_engines()
            for number in [n for n in self._troubles if n not in self.ledger.records]:
                del self._troubles[number]

    def _heard(self, sign: Alive) -> None:
        match self._leases.heard(sign.node, sign.life, self._world.clock.now()):
            case "taken for dead":
                self._world.send(sign.node, Fence(sign.life))
            case "replaced":
                life, self._leases.lives[sign.node] = self._leases.lives[sign.node], 0
                self._died(sign.node, f"its life {sign.life} has begun")
                self._leases.lives[sign.node] = life
                self._returned(sign.node)
            case "returned":
                self._returned(sign.node)
            case _:
                pass

    def _died(self, node: str, how: str) -> None:
        """All that a node had is tried again elsewhere."""
        self._note("detected", node, how)
        lost = self._lost[node] = set()
        # each goes to the front of the queues, so the last one first
        for record in reversed(list(self.ledger.records.values())):
            if self._over_without(record, node):
                self.ledger.ended(Attempt(record.request.number, record.attempt), node)
            elif self._needs(record, node):
                lost.add(record.request.number)
                self._again(record, f"{node} died")
        for record in reversed(list(self.ledger.records.values())):
            if record.group is not None and record.de is None:
                self._take_back_group(record, node)
        self.ledger.away(node)
        self._tell_members()
        self._recovered(node)
        self._let_come()

    def _returned(self, node: str) -> None:
        self.ledger.back(node)
        self._note("recovered", node, f"it serves again, life {self._leases.lives[node]}")
        self._tell_members()
        self._let_come()

    def _submitted(self, request: Request) -> None:
        self._coming.append(self.ledger.submitted(request))
        self._let_come()

    def _let_come(self) -> None:
        """Requests come to the queues one by one, as new ones do: a policy may give each at once.
        Where a side has no node they wait. Those that come again go before the others."""
        while self._coming and self._served():
            record = self._coming.popleft()
            for queue in (self._pe_queue, self._de_queue):
                if record.request.number in self._troubles:
                    queue.appendleft(record.request)
                else:
                    queue.append(record.request)
            SchedulerNode._give(self)
        self._give()

    def _served(self) -> bool:
        """Whether both sides have a node."""
        return bool(self.ledger.prefill.engines and self.ledger.decode.engines)

    def _needs(self, record: Record, node: str) -> bool:
        """Whether a node still has its part of a request to do."""
        pe, de = record.pe, record.de
        if pe is not None and pe.node == node and record.state is not State.PREFILLED:
            return True
        return de is not None and de.node == node and record.state is not State.DECODED

    def _over_without(self, record: Record, node: str) -> bool:
        """Whether only the prefill node's word is missing that its part is over."""
        return record.state is State.DECODED and record.pe is not None and record.pe.node == node

    def _take_back_group(self, record: Record, node: str) -> None:
        """A request that waits for a group of which the last node dies waits for any again."""
        group = record.group
        assert group is not None
        if any(engine.node != node for engine in self.ledger.decode.groups[group]):
            return
        self._troubles.setdefault(record.request.number, Trouble())
        self._withdraw(record)
        self._coming.appendleft(record)

    def _failed(self, failed: Failed) -> None:
        record = self.ledger.records.get(failed.attempt.request)
        if record is None or record.attempt != failed.attempt.number:
            self.ledger.late += 1
            return
        if failed.read:
            trouble = self._troubles.setdefault(record.request.number, Trouble())
            trouble.refused.add("pe" if record.pe and record.pe.node == failed.node else "de")
            if self._recovery.hits == "fail":
                self._again(record, f"{failed.node}: {failed.why}", finally_=True)
                return
        self._again(record, f"{failed.node}: {failed.why}")
        self._let_come()

    def _again(self, record: Record, cause: str, *, finally_: bool = False) -> None:
        """An attempt came to nothing: another one, or the request fails."""
        number = record.request.number
        given = record.state is not State.WAITING
        last = given and (
            finally_
            or self._recovery.request == "fail"
            or record.attempt >= self._recovery.attempts
        )
        if given:
            attempt = Attempt(number, record.attempt)
            for engine in (record.pe, record.de):
                if engine is not None:  # of a dead node the next life may have got it
                    self._world.send(engine.node, Cancel(attempt))
            self._told(self._record(record, cause, last=last))
        self._withdraw(record)
        if last:
            self._give_up(record, f"{cause}; that was attempt {record.attempt}")
            return
        record.attempt += given
        self._troubles.setdefault(number, Trouble())
        self._coming.appendleft(record)

    def _withdraw(self, record: Record) -> None:
        """Out of all books and queues but the records."""
        request = record.request
        if record in self._coming:
            self._coming.remove(record)
        if record.pe is None and request in self._pe_queue:
            self._pe_queue.remove(request)
        if record.de is None:
            queue = self._de_queue if record.group is None else self._private[record.group]
            if request in queue:
                queue.remove(request)
        self.ledger.withdraw(record)

    def _give_up(self, record: Record, why: str) -> None:
        request = record.request
        del self.ledger.records[request.number]
        for waiting in self._lost.values():
            waiting.discard(request.number)
        failed = RequestRecord(
            request=request.number,
            agent=request.agent,
            turn=request.turn,
            prompt_tokens=request.prompt,
            gen_tokens=request.gen,
            submit_s=request.submit_s,
            error=why,
        )
        self._world.send(self._agents, Done(failed))

    def _record(self, record: Record, cause: str, *, last: bool) -> AttemptRecord:
        trouble = self._troubles.get(record.request.number)
        return AttemptRecord(
            request=record.request.number,
            number=record.attempt,
            pe=record.pe.name if record.pe else None,
            de=record.de.name if record.de else None,
            assigned_s=trouble.assigned_s if trouble else None,
            failed_s=self._world.clock.now(),
            cause=cause,
            last=last,
        )

    def _look_for_engines(self) -> None:
        """Requests fail that for too long no node is there for."""
        now_s = self._world.clock.now()
        if self._served():
            self._bare_s = None
        elif self._bare_s is None:
            self._bare_s = now_s
        elif now_s - self._bare_s >= self._recovery.give_up_s:
            side = "decode" if self.ledger.prefill.engines else "prefill"
            for record in list(self.ledger.records.values()):
                if record.state is State.WAITING:
                    self._withdraw(record)
                    why = f"no {side} node for {self._recovery.give_up_s:g} s"
                    self._told(self._record(record, why, last=True))
                    self._give_up(record, why)

    def _give(self) -> None:
        if self._served():
            SchedulerNode._give(self)

    def _dispatch_if_chosen(self, record: Record) -> None:
        SchedulerNode._dispatch_if_chosen(self, record)
        if record.state is State.ASSIGNED:
            number = record.request.number
            trouble = self._troubles.setdefault(number, Trouble())
            trouble.assigned_s = self._world.clock.now()
            for node, waiting in list(self._lost.items()):
                waiting.discard(number)
                self._recovered(node)

    def _recovered(self, node: str) -> None:
        """Say so when all that a dead node had is with others."""
        if node in self._lost and not self._lost[node]:
            del self._lost[node]
            self._note("recovered", node, "all that it had is with others")

    def _asked(self, record: Record) -> Request:
        trouble = self._troubles.get(record.request.number)
        if trouble is None or not trouble.refused:
            return record.request
        other = self._recovery.hits == "other_path" and self._dual and len(trouble.refused) < 2
        return record.request if other else replace(record.request, cached=0)

    def _pe_share(self, record: Record, read: Read) -> float:
        trouble = self._troubles.get(record.request.number)
        if trouble is None or not trouble.refused:
            return self._policy.pe_share(self.ledger, read)
        return 0.0 if "pe" in trouble.refused else 1.0

    def _tell_members(self) -> None:
        self._number += 1
        for node in self._listeners:
            if self._leases.lives[node]:
                self._world.send(node, Members(self._number, dict(self._leases.lives)))

    def _note(self, what: str, node: str, detail: str) -> None:
        self._told(
            FaultEvent(
                t_s=self._world.clock.now(),
                what="detected" if what == "detected" else "recovered",
                kind="node",
                target=node,
                detail=detail,
            )
        )
