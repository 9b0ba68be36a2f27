"""What the scheduler knows: one record of every unfinished request, and of the engines the
loads that follow from the records and what their nodes have reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from nodes.protocol.messages import Attempt, Report, Request
from nodes.scheduling.policy import Engine
from nodes.timing.timing import timing_of
from plan.fabric import NodeKind
from plan.model import Plan
from plan.names import engine_name


class State(Enum):
    """Where a request is, as far as the scheduler has been told.

    WAITING: for its PE, its DE or both. ASSIGNED: both have it. PREFILLED, DECODED: the PE,
    or the DE, has reported its end and the other has not; after both the record is dropped.
    """

    WAITING = "waiting"
    ASSIGNED = "assigned"
    PREFILLED = "prefilled"
    DECODED = "decoded"


@dataclass(slots=True, eq=False)
class EngineLoad:
    """What is known of an engine.

    Attributes:
        seq: unfinished requests (seq_e); tok: their total tokens (tok_e).
        capacity: tokens of KV-Cache that fit its HBM (DEs); decoding: total tokens of those
            whose prefill is over, for which it allocates HBM.
    """

    name: str
    node: str
    group: int
    seq: int = 0
    tok: int = 0
    capacity: float = float("inf")
    decoding: int = 0

    @property
    def free(self) -> float:
        """Free HBM, tokens: what is read or in prefill does not sit there yet."""
        return self.capacity - self.decoding

    def add(self, tokens: int) -> None:
        self.seq += 1
        self.tok += tokens

    def remove(self, tokens: int) -> None:
        self.seq -= 1
        self.tok -= tokens


@dataclass(slots=True, eq=False)
class Record:
    """A request from its submission until both its engines have reported its end.

    Attributes:
        attempt: which attempt at it this is, from 1.
        group: decode group, chosen before the DE.
        pe_tokens, de_tokens, group_tokens: what it is charged to each of them, tokens.
    """

    request: Request
    attempt: int = 1
    state: State = State.WAITING
    pe: EngineLoad | None = None
    de: EngineLoad | None = None
    group: int | None = None
    pe_tokens: int = 0
    de_tokens: int = 0
    group_tokens: int = 0


@dataclass(slots=True, eq=False)
class SideLoads:
    """The engines of one kind, in order of their groups.

    Attributes:
        given: requests that one of them has been given so far.
    """

    engines: list[EngineLoad]
    groups: dict[int, list[EngineLoad]] = field(default_factory=dict)
    nodes: dict[str, list[EngineLoad]] = field(default_factory=dict)
    given: int = 0

    def __post_init__(self) -> None:
        for engine in self.engines:
            self.groups.setdefault(engine.group, []).append(engine)
            self.nodes.setdefault(engine.node, []).append(engine)


class Ledger:
    """The scheduler's books; policies see them as a `Snapshot`.

    Attributes:
        records: request number -> record, of the unfinished ones.
        late: reports about an attempt that is not, or no longer, the current one.
    """

    def __init__(self, prefill: Sequence[EngineLoad], decode: Sequence[EngineLoad]) -> None:
        self.records: dict[int, Record] = {}
        self.late = 0
        self.prefill = SideLoads([*prefill])
        self.decode = SideLoads([*decode])
        self.group_tokens = dict.fromkeys(self.decode.groups, 0)
        self.fetching: dict[int, None] = {}
        self.read_queues = dict.fromkeys((*self.prefill.nodes, *self.decode.nodes), 0)
        self.homes: dict[int, str] = {}
        self.last_share: dict[tuple[str, str], float] = {}
        self._loads = {engine.name: engine for engine in (*prefill, *decode)}

    @classmethod
    def of(cls, plan: Plan) -> Ledger:
        """Blank books of the plan's engines."""
        capacity = timing_of(plan, "decode").kv_capacity
        return cls(_engines(plan, "prefill", float("inf")), _engines(plan, "decode", capacity))

    def submitted(self, request: Request) -> Record:
        record = self.records[request.number] = Record(request)
        return record

    def taken_up(self, record: Record, pe: str, de: str, *, prefilled: bool) -> None:
        """Both engines have the request already, or the decode engine alone."""
        engine = self._loads[de]
        self.give_pe(record, self._loads[pe])
        self.give_group(record, engine.group)
        self.give_de(record, engine)
        if prefilled:
            self.ended(Attempt(record.request.number, record.attempt), self._loads[pe].node)

    def give_pe(self, record: Record, engine: Engine) -> None:
        load = record.pe = self._loads[engine.name]
        record.pe_tokens = record.request.prompt
        load.add(record.pe_tokens)
        self.prefill.given += 1
        self._assigned(record)

    def give_group(self, record: Record, group: int) -> None:
        record.group = group
        record.group_tokens = record.request.total
        self.group_tokens[group] += record.group_tokens

    def give_de(self, record: Record, engine: Engine) -> None:
        load = record.de = self._loads[engine.name]
        record.de_tokens = record.request.total
        load.add(record.de_tokens)
        self.decode.given += 1
        self._assigned(record)

    def give_read(self, record: Record, pe_share: float, pe_tokens: int, de_tokens: int) -> None:
        """Until the nodes' next reports, what they are given to read counts as queued."""
        assert record.pe is not None
        assert record.de is not None
        self.read_queues[record.pe.node] += pe_tokens
        if self.homes.get(record.request.agent) != record.de.node:
            self.read_queues[record.de.node] += de_tokens
            self.last_share[record.pe.name, record.de.name] = pe_share

    def reported(self, report: Report) -> None:
        """A node's report: its disk read queue, ends and changes of its DRAM pool."""
        self.read_queues[report.node] = report.read_queue
        for attempt in report.finished:
            self.ended(attempt, report.node)
        for trajectory, held in report.pool:
            if held:
                self.homes[trajectory] = report.node
            elif self.homes.get(trajectory) == report.node:
                del self.homes[trajectory]

    def ended(self, attempt: Attempt, node: str) -> None:
        """An attempt has left the node's engine. One that is not current is counted only.

        Raises:
            ValueError: the current attempt is not with that node.
        """
        record = self.records.get(attempt.request)
        if record is None or record.attempt != attempt.number:
            self.late += 1
        elif record.de and record.de.node == node and record.state in _DECODES:
            if record.state is State.PREFILLED:
                record.de.decoding -= record.de_tokens
            record.de.remove(record.de_tokens)
            assert record.group is not None
            self.group_tokens[record.group] -= record.group_tokens
            record.de_tokens = record.group_tokens = 0
            self._over(record, State.DECODED)
        elif record.pe and record.pe.node == node and record.state in _PREFILLS:
            record.pe.remove(record.pe_tokens)
            record.pe_tokens = 0
            if record.state is State.ASSIGNED:
                assert record.de is not None
                record.de.decoding += record.de_tokens
            self._over(record, State.PREFILLED)
        else:
            raise ValueError(f"{node} reports the end of {attempt}, which is not with it")

    def withdraw(self, record: Record) -> None:
        """Nobody has the request any more: it waits again, and is charged to nobody."""
        pe, de = record.pe, record.de
        if pe is not None and record.state is not State.PREFILLED:
            pe.remove(record.pe_tokens)
        if de is not None and record.state is not State.DECODED:
            de.remove(record.de_tokens)
            if record.state is State.PREFILLED:
                de.decoding -= record.de_tokens
        if record.group is not None and record.state is not State.DECODED:
            self.group_tokens[record.group] -= record.group_tokens
        record.pe = record.de = record.group = None
        record.pe_tokens = record.de_tokens = record.group_tokens = 0
        record.state = State.WAITING

    def away(self, node: str) -> None:
        """A node is dead: its engines, of which nobody has any more, are given nothing."""
        for side in (self.prefill, self.decode):
            for engine in side.nodes.get(node, ()):
                side.engines.remove(engine)
                side.groups[engine.group].remove(engine)
        for number in [n for n, there in self.decode.groups.items() if not there]:
            self.group_tokens.pop(number, None)
            self.fetching.pop(number, None)
        for number in [n for n, there in self.prefill.groups.items() if not there]:
            self.fetching.pop(number, None)
        self.read_queues[node] = 0
        for trajectory in [t for t, home in self.homes.items() if home == node]:
            del self.homes[trajectory]

    def back(self, node: str) -> None:
        """It is there again, with nothing in its hands."""
        for side in (self.prefill, self.decode):
            for engine in side.nodes.get(node, ()):
                side.engines.append(engine)
                side.groups[engine.group].append(engine)
                if side is self.decode:
                    self.group_tokens.setdefault(engine.group, 0)
            order = list(self._loads)
            side.engines.sort(key=lambda engine: order.index(engine.name))
            for engines in side.groups.values():
                engines.sort(key=lambda engine: order.index(engine.name))

    def standing(self) -> dict[str, int]:
        """How many requests are where, as far as the scheduler has been told."""
        return dict(Counter(_where(record) for record in self.records.values()))

    def _assigned(self, record: Record) -> None:
        if record.pe and record.de:
            record.state = State.ASSIGNED

    def _over(self, record: Record, half: State) -> None:
        """One side's part is over; with the other side's before, the request is."""
        if record.state is State.ASSIGNED:
            record.state = half
        else:
            del self.records[record.request.number]


_DECODES = (State.ASSIGNED, State.PREFILLED)
_PREFILLS = (State.ASSIGNED, State.DECODED)


def _where(record: Record) -> str:
    match record.state:
        case State.WAITING:
            return "waiting for a DE" if record.pe else "waiting for a PE"
        case State.ASSIGNED:
            return "being read or in prefill"
        case State.PREFILLED:
            return "decoding"
        case State.DECODED:
            return "decoded"


def _engines(plan: Plan, kind: NodeKind, capacity: float) -> list[EngineLoad]:
    gpus = {node.name: node.gpus for node in plan.fabric.nodes_of(kind)}
    return [
        EngineLoad(engine_name(node, gpu), node, number, capacity=capacity)
        for number, nodes in enumerate(plan.groups)
        for node in nodes
        if node in gpus
        for gpu in range(gpus[node])
    ]
