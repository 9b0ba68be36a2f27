"""Claims: the central scheduler gives what paper section 4 says, fetch by fetch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.messages import Assign, Attempt, Done, Fetch, Report, Request, Submit
from nodes.scheduling.ledger import Ledger, State
from nodes.scheduling.scheduler import SchedulerNode
from nodes.worlds.virtual.loop import run
from plan.deployment import System
from plan.model import Plan
from plan.records import RequestRecord
from tests.examples import tries
from tests.nodes.plans import BASIC, DUAL, DUALPATH, SPLIT, SYSTEMS, make_plan
from tests.nodes.recording import recorded
from tests.nodes.scheduling.test_ledger import check_charges, check_loads

PE_GROUP, DE_GROUP = 0, 1


def request(number: int, prompt: int = 1000, cached: int = 640, gen: int = 100) -> Request:
    return Request(number, number, 0, ((0, 18),), prompt, cached, gen, 0.0)


def fetch(group: int, *reports: Report) -> Fetch:
    return Fetch(group, reports)


def idle(*nodes: str) -> list[Report]:
    return [Report(node, (), 0) for node in nodes]


def assigned(plan: Plan, system: System, messages: Sequence[Submit | Fetch]) -> list[Assign]:
    """What the scheduler gives after these messages, each request once."""

    async def main() -> list[Assign]:
        async with recorded(plan, "sched") as (world, sent):
            scheduler = SchedulerNode(world, plan, system)
            for message in messages:
                scheduler.handle(message)
            await asyncio.sleep(1)
        given = [(to, message) for to, message in sent if isinstance(message, Assign)]
        for (to_pe, on_pe), (to_de, on_de) in zip(given[::2], given[1::2], strict=True):
            assert on_pe == on_de
            assert (to_pe, to_de) == (on_pe.pe.split(".")[0], on_de.de.split(".")[0])
        return [assign for _, assign in given[::2]]

    return run(main())


def side(assign: Assign) -> str:
    """Where the ten cached blocks are read."""
    return {10: "pe", 0: "de"}.get(assign.pe_blocks, "split")


def test_nothing_is_given_before_both_sides_have_fetched() -> None:
    plan = make_plan([])
    submitted = Submit(request(1))
    assert assigned(plan, DUALPATH, [submitted]) == []
    assert assigned(plan, DUALPATH, [submitted, fetch(PE_GROUP, *idle("pe0"))]) == []
    assert assigned(plan, DUALPATH, [submitted, fetch(DE_GROUP, *idle("de0"))]) == []


def test_a_fetch_that_finds_nothing_is_answered_by_the_next_request() -> None:
    fetches: list[Submit | Fetch] = [fetch(PE_GROUP, *idle("pe0")), fetch(DE_GROUP, *idle("de0"))]
    (assign,) = assigned(make_plan([]), DUALPATH, [*fetches, Submit(request(1))])
    assert (assign.pe, assign.de) == ("pe0.0", "de0.0")


def test_a_fetch_is_answered_once() -> None:
    fetches: list[Submit | Fetch] = [fetch(PE_GROUP, *idle("pe0")), fetch(DE_GROUP, *idle("de0"))]
    messages: list[Submit | Fetch] = [*fetches, Submit(request(1)), Submit(request(2))]
    assert [a.request.number for a in assigned(make_plan([]), DUALPATH, messages)] == [1]


def test_requests_are_given_first_in_first_out() -> None:
    messages: list[Submit | Fetch] = [
        *(Submit(request(number)) for number in (3, 1, 2)),
        fetch(PE_GROUP, *idle("pe0")),
        fetch(DE_GROUP, *idle("de0")),
    ]
    assert [a.request.number for a in assigned(make_plan([]), DUALPATH, messages)] == [3, 1, 2]


def test_prompt_tokens_load_a_pe_and_stop_it_above_beta() -> None:
    """1000 tokens each and beta 1500: the third finds 2000 unfinished tokens."""
    plan = make_plan([], beta_tokens=1500)
    messages: list[Submit | Fetch] = [
        *(Submit(request(number)) for number in (1, 2, 3)),
        fetch(PE_GROUP, *idle("pe0")),
        fetch(DE_GROUP, *idle("de0")),
    ]
    assert [a.request.number for a in assigned(plan, DUALPATH, messages)] == [1, 2]


def test_a_reported_end_makes_room_again() -> None:
    plan = make_plan([], beta_tokens=1500)
    messages: list[Submit | Fetch] = [
        *(Submit(request(number)) for number in (1, 2, 3)),
        fetch(PE_GROUP, *idle("pe0")),
        fetch(DE_GROUP, *idle("de0")),
        fetch(PE_GROUP, Report("pe0", (Attempt(1, 1),), 0)),
    ]
    assert [a.request.number for a in assigned(plan, DUALPATH, messages)] == [1, 2, 3]


def test_requests_spread_over_the_pes_by_their_tokens() -> None:
    plan = make_plan([], prefill=2)
    messages: list[Submit | Fetch] = [
        Submit(request(1, prompt=3000)),
        *(Submit(request(number)) for number in (2, 3, 4, 5)),
        fetch(PE_GROUP, *idle("pe0", "pe1")),
        fetch(DE_GROUP, *idle("de0")),
    ]
    chosen = [a.pe for a in assigned(plan, DUALPATH, messages)]
    assert chosen == ["pe0.0", "pe1.0", "pe1.0", "pe1.0", "pe0.0"]


def test_a_pe_with_a_long_disk_read_queue_comes_last() -> None:
    plan = make_plan([], prefill=2, alpha_tokens=5000)
    messages: list[Submit | Fetch] = [
        fetch(PE_GROUP, Report("pe0", (), 5001), Report("pe1", (), 5000)),
        fetch(DE_GROUP, *idle("de0")),
        Submit(request(1)),
    ]
    assert [a.pe for a in assigned(plan, DUALPATH, messages)] == ["pe1.0"]


def test_the_side_with_the_shorter_disk_read_queue_reads() -> None:
    def side_of_read(pe_queue: int, de_queue: int) -> str:
        messages: list[Submit | Fetch] = [
            fetch(PE_GROUP, Report("pe0", (), pe_queue)),
            fetch(DE_GROUP, Report("de0", (), de_queue)),
            Submit(request(1)),
        ]
        return side(assigned(make_plan([]), DUALPATH, messages)[0])

    assert (side_of_read(100, 200), side_of_read(200, 100)) == ("pe", "de")


def test_reads_given_since_a_report_count_as_queued() -> None:
    """640 cached tokens each: the sides take turns although nothing was reported again."""
    messages: list[Submit | Fetch] = [
        *(Submit(request(number)) for number in range(1, 5)),
        fetch(PE_GROUP, *idle("pe0")),
        fetch(DE_GROUP, *idle("de0")),
    ]
    given = assigned(make_plan([]), DUALPATH, messages)
    assert [side(a) for a in given] == ["pe", "de", "pe", "de"]


def test_a_de_is_given_what_its_hbm_can_hold() -> None:
    """Room for two requests of 1100 tokens; the third waits for an end."""
    plan = make_plan([])
    weights = plan.model.weight_bytes
    hbm = weights + 2500 * plan.model.token_bytes
    plan = msgspec.structs.replace(plan, gpu=msgspec.structs.replace(plan.gpu, hbm_bytes=hbm))
    messages: list[Submit | Fetch] = [
        *(Submit(request(number)) for number in (1, 2, 3)),
        fetch(PE_GROUP, *idle("pe0")),
        fetch(DE_GROUP, *idle("de0")),
    ]
    assert [a.request.number for a in assigned(plan, DUALPATH, messages)] == [1, 2]
    messages.append(fetch(DE_GROUP, Report("de0", (Attempt(2, 1),), 0)))
    assert [a.request.number for a in assigned(plan, DUALPATH, messages)] == [1, 2, 3]


def test_phase_1_spreads_requests_over_de_groups_at_any_group_s_fetch() -> None:
    plan = msgspec.structs.replace(make_plan([], decode=2), groups=(("pe0",), ("de0",), ("de1",)))
    messages: list[Submit | Fetch] = [
        *(Submit(request(number)) for number in (1, 2, 3)),
        fetch(0, *idle("pe0")),
        fetch(2, *idle("de1")),
    ]
    given = assigned(plan, DUALPATH, messages)
    assert [(a.request.number, a.de) for a in given] == [(2, "de1.0")]
    given = assigned(plan, DUALPATH, [*messages, fetch(1, *idle("de0"))])
    assert [(a.request.number, a.de) for a in given][1:] == [(1, "de0.0"), (3, "de0.0")]


def test_round_robin_takes_engines_and_sides_in_turn_without_fetches() -> None:
    plan = make_plan([], prefill=2, decode=3)
    given = assigned(plan, DUAL, [Submit(request(number)) for number in range(6)])
    assert [a.pe for a in given] == ["pe0.0", "pe1.0"] * 3
    assert [a.de for a in given] == ["de0.0", "de1.0", "de2.0"] * 2
    assert {side(a) for a in given[::2]} == {"pe"}
    assert {side(a) for a in given[1::2]} == {"de"}


def test_round_robin_reads_on_both_sides_for_every_engine() -> None:
    plan = make_plan([], prefill=2, decode=4)
    given = assigned(plan, DUAL, [Submit(request(number)) for number in range(16)])
    for engine in ("pe0.0", "pe1.0", "de0.0", "de1.0", "de2.0", "de3.0"):
        sides = [side(a) for a in given if engine in (a.pe, a.de)]
        assert sides.count("pe") == sides.count("de")


def test_basic_reads_on_the_prefill_side_only() -> None:
    given = assigned(make_plan([]), BASIC, [Submit(request(number)) for number in range(4)])
    assert {side(a) for a in given} == {"pe"}


def test_a_split_read_fills_the_shorter_queue_first() -> None:
    """Ten blocks of 64 tokens against queues of 0 and 256: seven and three end together."""
    messages: list[Submit | Fetch] = [
        fetch(PE_GROUP, *idle("pe0")),
        fetch(DE_GROUP, Report("de0", (), 256)),
        Submit(request(1)),
    ]
    assert [a.pe_blocks for a in assigned(make_plan([]), SPLIT, messages)] == [7]


def test_a_message_for_somebody_else_is_an_error() -> None:
    record = RequestRecord(request=1, agent=0, turn=0, prompt_tokens=1, gen_tokens=1, submit_s=0.0)

    async def main() -> None:
        plan = make_plan([])
        async with recorded(plan, "sched") as (world, _):
            scheduler = SchedulerNode(world, plan, DUALPATH)
            with pytest.raises(TypeError, match="scheduler cannot handle Done"):
                scheduler.handle(Done(record))

    run(main())


def test_the_end_of_another_attempt_makes_no_room() -> None:
    plan = make_plan([], beta_tokens=1500)
    messages: list[Submit | Fetch] = [
        *(Submit(request(number)) for number in (1, 2, 3)),
        fetch(PE_GROUP, *idle("pe0")),
        fetch(DE_GROUP, *idle("de0")),
        fetch(PE_GROUP, Report("pe0", (Attempt(1, 2),), 0)),
    ]
    assert [a.request.number for a in assigned(plan, DUALPATH, messages)] == [1, 2]


def unreported(ledger: Ledger, node: str) -> list[Attempt]:
    """Attempts that the node has been given and has not reported as ended."""
    return [
        Attempt(number, record.attempt)
        for number, record in ledger.records.items()
        if (
            record.pe and record.pe.node == node and record.state in (State.ASSIGNED, State.DECODED)
        )
        or (
            record.de
            and record.de.node == node
            and record.state in (State.ASSIGNED, State.PREFILLED)
        )
    ]


@tries(40)
@given(st.sampled_from(SYSTEMS), st.data())
def test_at_any_time_a_request_waits_or_is_assigned_or_is_over(
    system: System, data: st.DataObject
) -> None:
    """Four groups of a node each, HBM for two requests or three in a decode engine."""
    groups = (("pe0",), ("pe1",), ("de0",), ("de1",))
    plan = msgspec.structs.replace(
        make_plan([], prefill=2, decode=2, beta_tokens=2000), groups=groups
    )
    hbm = plan.model.weight_bytes + 3000 * plan.model.token_bytes
    plan = msgspec.structs.replace(plan, gpu=msgspec.structs.replace(plan.gpu, hbm_bytes=hbm))

    async def main() -> None:
        async with recorded(plan, "sched") as (world, sent):
            scheduler = SchedulerNode(world, plan, system)
            ledger = scheduler.ledger
            submitted = 0
            for group in data.draw(st.lists(st.none() | st.integers(0, 3), max_size=25)):
                if group is None:
                    submitted += 1
                    prompt = data.draw(st.integers(640, 1200))
                    scheduler.handle(Submit(request(submitted, prompt)))
                else:
                    [node] = groups[group]
                    ends = unreported(ledger, node)
                    ended = data.draw(st.lists(st.sampled_from(ends), unique=True)) if ends else []
                    scheduler.handle(fetch(group, Report(node, tuple(ended), 0)))
                await asyncio.sleep(1)
                given = [m.request.number for _, m in sent[::2] if isinstance(m, Assign)]
                waiting = [n for n, r in ledger.records.items() if r.state is State.WAITING]
                check_loads(ledger)
                for record in ledger.records.values():
                    check_charges(record)
                assert sorted([*given, *waiting]) == [*range(1, submitted + 1)]

    run(main())
