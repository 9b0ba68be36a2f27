"""Claims: the scheduler's books, after whatever is entered in whatever order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nodes.protocol.messages import Attempt, Report, Request
from nodes.scheduling.ledger import EngineLoad, Ledger, Record, State

PE_GROUPS, DE_GROUPS = (0, 1), (2, 3)


def engines(kind: str, groups: tuple[int, ...]) -> list[EngineLoad]:
    """Two nodes of two engines in every group."""
    return [
        EngineLoad(f"{kind}{2 * group + node}.{gpu}", f"{kind}{2 * group + node}", group)
        for group in groups
        for node in range(2)
        for gpu in range(2)
    ]


def blank() -> Ledger:
    return Ledger(engines("pe", PE_GROUPS), engines("de", DE_GROUPS))


def request(number: int, prompt: int = 1000, gen: int = 100) -> Request:
    return Request(number, number, 0, ((0, 18),), prompt, 640, gen, 0.0)


def check_loads(ledger: Ledger) -> None:
    """Engines and groups are loaded with what records are charged, no more and no less."""
    records = ledger.records.values()
    for engine in ledger.prefill.engines:
        charges = [r.pe_tokens for r in records if r.pe is engine and r.pe_tokens]
        assert (engine.seq, engine.tok) == (len(charges), sum(charges))
    for engine in ledger.decode.engines:
        charges = [r.de_tokens for r in records if r.de is engine and r.de_tokens]
        assert (engine.seq, engine.tok) == (len(charges), sum(charges))
        decoding = [r for r in records if r.de is engine and r.state is State.PREFILLED]
        assert engine.decoding == sum(r.de_tokens for r in decoding)
    for group, tokens in ledger.group_tokens.items():
        assert tokens == sum(r.group_tokens for r in records if r.group == group)


def check_charges(record: Record) -> None:
    """What a record is charged is what its state says."""
    prompt, total = record.request.prompt, record.request.total
    on_pe = record.pe is not None and record.state is not State.PREFILLED
    on_de = record.de is not None and record.state is not State.DECODED
    in_group = record.group is not None and record.state is not State.DECODED
    assert record.pe_tokens == prompt * on_pe
    assert record.de_tokens == total * on_de
    assert record.group_tokens == total * in_group
    assert (record.state is State.WAITING) == (record.pe is None or record.de is None)


class Books(RuleBasedStateMachine):
    """A scheduler and its nodes at random; who has reported what is kept beside the ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = blank()
        self.submitted = 0
        self.over: set[int] = set()
        self.late = 0

    def some(self, data: st.DataObject, among: Iterator[Record]) -> Record | None:
        records = list(among)
        return data.draw(st.sampled_from(records)) if records else None

    def records(self) -> Iterator[Record]:
        return iter(self.ledger.records.values())

    @rule(prompt=st.integers(1, 5000), gen=st.integers(1, 500))
    def submit(self, prompt: int, gen: int) -> None:
        self.submitted += 1
        self.ledger.submitted(request(self.submitted, prompt, gen))

    @rule(data=st.data(), engine=st.sampled_from(engines("pe", PE_GROUPS)))
    def give_pe(self, data: st.DataObject, engine: EngineLoad) -> None:
        if record := self.some(data, (r for r in self.records() if r.pe is None)):
            self.ledger.give_pe(record, engine)

    @rule(data=st.data(), group=st.sampled_from(DE_GROUPS))
    def give_group(self, data: st.DataObject, group: int) -> None:
        if record := self.some(data, (r for r in self.records() if r.group is None)):
            self.ledger.give_group(record, group)

    @rule(data=st.data(), choice=st.integers(0, 3))
    def give_de(self, data: st.DataObject, choice: int) -> None:
        grouped = (r for r in self.records() if r.group is not None and r.de is None)
        if record := self.some(data, grouped):
            assert record.group is not None
            self.ledger.give_de(record, self.ledger.decode.groups[record.group][choice])

    @rule(data=st.data())
    def end_prefill(self, data: st.DataObject) -> None:
        states = (State.ASSIGNED, State.DECODED)
        if record := self.some(data, (r for r in self.records() if r.state in states)):
            assert record.pe is not None
            if record.state is State.DECODED:
                self.over.add(record.request.number)
            self.ledger.ended(Attempt(record.request.number, 1), record.pe.node)

    @rule(data=st.data())
    def end_decode(self, data: st.DataObject) -> None:
        states = (State.ASSIGNED, State.PREFILLED)
        if record := self.some(data, (r for r in self.records() if r.state in states)):
            assert record.de is not None
            if record.state is State.PREFILLED:
                self.over.add(record.request.number)
            self.ledger.ended(Attempt(record.request.number, 1), record.de.node)

    @precondition(lambda self: self.submitted)
    @rule(data=st.data(), attempt=st.sampled_from([0, 2, 3]), node=st.sampled_from(["pe0", "de4"]))
    def end_of_another_attempt(self, data: st.DataObject, attempt: int, node: str) -> None:
        number = data.draw(st.integers(1, self.submitted))
        self.late += 1
        self.ledger.ended(Attempt(number, attempt), node)

    @precondition(lambda self: self.over)
    @rule(data=st.data(), node=st.sampled_from(["pe0", "de4"]))
    def end_of_what_is_over(self, data: st.DataObject, node: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.over)))
        self.late += 1
        self.ledger.ended(Attempt(number, 1), node)

    @invariant()
    def loads_are_the_sum_over_the_records(self) -> None:
        check_loads(self.ledger)

    @invariant()
    def every_request_is_in_exactly_one_state(self) -> None:
        assert self.ledger.records.keys().isdisjoint(self.over)
        assert {*self.ledger.records, *self.over} == {*range(1, self.submitted + 1)}
        for record in self.records():
            check_charges(record)

    @invariant()
    def reports_of_other_attempts_are_counted_and_change_nothing_else(self) -> None:
        assert self.ledger.late == self.late


TestBooks = Books.TestCase


def assigned(number: int = 1) -> Ledger:
    ledger = blank()
    record = ledger.submitted(request(number))
    ledger.give_pe(record, ledger.prefill.engines[0])
    ledger.give_group(record, 2)
    ledger.give_de(record, ledger.decode.groups[2][0])
    return ledger


def test_a_current_attempt_ends_only_where_it_is() -> None:
    with pytest.raises(ValueError, match="pe1 reports the end"):
        assigned().ended(Attempt(1, 1), "pe1")


def test_an_attempt_ends_once_on_a_side() -> None:
    ledger = assigned()
    ledger.ended(Attempt(1, 1), "pe0")
    with pytest.raises(ValueError, match="pe0 reports the end"):
        ledger.ended(Attempt(1, 1), "pe0")


def test_an_attempt_does_not_end_before_it_is_given() -> None:
    ledger = blank()
    ledger.give_pe(ledger.submitted(request(1)), ledger.prefill.engines[0])
    with pytest.raises(ValueError, match="pe0 reports the end"):
        ledger.ended(Attempt(1, 1), "pe0")


def test_hbm_is_taken_from_the_end_of_prefill_to_the_end_of_decode() -> None:
    """Not while it is read or in prefill: the DE allocates at decode start (paper section 1)."""
    ledger = assigned()
    engine = ledger.decode.groups[2][0]
    engine.capacity = 5000
    assert engine.free == 5000
    ledger.ended(Attempt(1, 1), "pe0")
    assert engine.free == 5000 - 1100
    ledger.ended(Attempt(1, 1), "de4")
    assert engine.free == 5000


def test_a_read_counts_as_queued_until_the_node_reports() -> None:
    ledger = assigned()
    ledger.give_read(ledger.records[1], 0.5, 256, 384)
    assert (ledger.read_queues["pe0"], ledger.read_queues["de4"]) == (256, 384)
    ledger.reported(Report("pe0", (), 7))
    assert (ledger.read_queues["pe0"], ledger.read_queues["de4"]) == (7, 384)


def test_what_the_de_has_in_its_pool_is_not_queued() -> None:
    ledger = assigned()
    ledger.reported(Report("de4", (), 0, ((1, True),)))
    ledger.give_read(ledger.records[1], 0.0, 0, 640)
    assert ledger.read_queues["de4"] == 0
    assert not ledger.last_share


def test_the_ledger_knows_how_many_requests_are_where() -> None:
    ledger = assigned(1)
    ledger.submitted(request(2))
    waits_for_de = ledger.submitted(request(3))
    ledger.give_pe(waits_for_de, ledger.prefill.engines[0])
    assert ledger.standing() == {
        "being read or in prefill": 1,
        "waiting for a PE": 1,
        "waiting for a DE": 1,
    }
    record = ledger.records[1]
    assert record.pe is not None
    ledger.ended(Attempt(1, record.attempt), record.pe.node)
    assert ledger.standing()["decoding"] == 1
