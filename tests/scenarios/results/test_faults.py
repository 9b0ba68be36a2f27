"""Claims: each fault's course is told, and service before, during and after them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.faults import AttemptRecord, FaultEvent
from plan.model import Plan
from plan.records import CounterSample, Ending, RequestRecord
from scenarios.results.faults import (
    Rework,
    by_attempts,
    courses,
    endings,
    reads_back_s,
    rework,
    spells,
)
from scenarios.results.result import SystemResult
from scenarios.results.windows import cut
from tests.examples import tries
from tests.nodes.plans import DUALPATH, ORACLE, agent, make_plan


def event(t_s: float, what: str, kind: str, target: str, detail: str = "") -> FaultEvent:
    told = {"t_s": t_s, "what": what, "kind": kind, "target": target, "detail": detail}
    return msgspec.convert(told, FaultEvent)


KILLED = [
    event(10.0, "injected", "kill", "de0"),
    event(12.5, "detected", "node", "de0"),
    event(12.6, "recovered", "node", "de0", "all that it had is with others"),
    event(20.0, "healed", "kill", "de0"),
    event(20.1, "recovered", "node", "de0", "it serves again, life 2"),
]


def test_a_course_has_all_that_became_of_a_fault() -> None:
    [course] = courses(KILLED)
    assert (course.injected_s, course.detected_s, course.recovered_s) == (10.0, 12.5, 12.6)
    assert (course.healed_s, course.back_s) == (20.0, 20.1)


def test_faults_that_come_again_or_elsewhere_are_told_apart() -> None:
    again = [
        event(5.0, "injected", "down", "pe0.snic"),
        event(5.05, "recovered", "down", "pe0.snic"),
        event(6.0, "healed", "down", "pe0.snic"),
        event(30.0, "injected", "down", "pe0.snic"),
    ]
    found = courses(sorted([*KILLED, *again], key=lambda one: one.t_s))
    assert [(course.kind, course.injected_s) for course in found] == [
        ("down", 5.0),
        ("kill", 10.0),
        ("down", 30.0),
    ]
    assert found[0].healed_s == 6.0
    assert found[2].healed_s is None
    assert found[2].recovered_s is None


def numbered(fault: int, t_s: float, what: str) -> FaultEvent:
    return msgspec.structs.replace(event(t_s, what, "slow", "pe0.snic"), fault=fault)


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 50)), min_size=1, max_size=8),
    st.sets(st.integers(0, 7)),
)
@tries(60)
def test_faults_that_overlap_themselves_are_told_apart_by_their_place(
    times: list[tuple[float, float]], endless: set[int]
) -> None:
    told = []
    for place, (at_s, for_s) in enumerate(times):
        told.append(numbered(place, at_s, "injected"))
        if place not in endless:
            told.append(numbered(place, at_s + for_s, "healed"))
    told.sort(key=lambda one: (one.t_s, one.what == "injected"))
    found = {fault.fault: healed_s for fault, healed_s in endings(told)}
    assert found == {
        place: None if place in endless else at_s + for_s
        for place, (at_s, for_s) in enumerate(times)
    }
    assert [course.healed_s for course in courses(told)] == [end for _, end in endings(told)]


def result(plan: Plan) -> SystemResult:
    """A request a second for 40 s, of 10 tokens; TTFT is 1 s, and 3 s while de0 is gone; every
    SNIC reads at half its rate, and nothing while de0 is gone."""
    records = []
    for second in range(1, 41):
        wait_s = 3.0 if 10 < second <= 20 else 1.0
        records.append(
            RequestRecord(
                request=second,
                agent=second,
                turn=0,
                prompt_tokens=100,
                gen_tokens=10,
                submit_s=second - wait_s,
                first_s=float(second),
                done_s=float(second),
            )
        )
    samples = []
    for t_s in range(0, 41, 5):
        read_s = min(t_s, 10) + max(0, t_s - 20)
        nics = {nic.name: (0.0, read_s * nic.rate_bps / 16) for nic in plan.fabric.nics}
        links = {link.name: (0.0, 0.0) for link in plan.fabric.links}
        samples.append(CounterSample(t_s=float(t_s), nics=nics, links=links, lanes={}))
    return SystemResult(
        system=DUALPATH,
        records=records,
        samples=samples,
        node_stats=[],
        drops={},
        complete=True,
        ending=Ending(ended_by="all served", from_s=0.0, to_s=40.0),
        wall_s=1.0,
        faults=KILLED,
    )


def test_service_is_told_before_during_and_after_faults() -> None:
    plan = make_plan([])
    served = result(plan)
    before, during, after = spells(plan, served, courses(served.faults))
    assert [spell.name for spell in (before, during, after)] == ["before", "during", "after"]
    assert (during.from_s, during.to_s) == (10.0, 20.0)
    assert [spell.requests_per_s for spell in (before, during, after)] == [1.0, 1.0, 1.0]
    assert before.tokens_per_s == 10.0
    assert [spell.ttft_s for spell in (before, during, after)] == [1.0, 3.0, 1.0]
    uses = [spell.snic_use for spell in (before, during, after)]
    assert uses == pytest.approx([0.5, 0.0, 0.5])


def test_without_faults_there_is_nothing_to_tell() -> None:
    plan = make_plan([])
    without = result(plan)
    assert spells(plan, without, courses(())) == []


def test_requests_are_counted_by_the_attempt_that_did_them() -> None:
    plan = make_plan([])
    failed = [
        AttemptRecord(
            request=3,
            number=number,
            pe=None,
            de=None,
            assigned_s=None,
            failed_s=1.0,
            cause="x",
            last=False,
        )
        for number in (1, 2)
    ]
    assert by_attempts(result(plan).records, failed) == {1: 39, 3: 1}


def test_reads_are_back_when_they_are_at_95_per_cent_of_what_they_were() -> None:
    plan = make_plan([])
    told = result(plan)
    whole = cut(told.samples, plan.fabric, told.ending.to_s)
    cut_short = cut(told.samples, plan.fabric, 18.0)
    assert whole is not None
    assert cut_short is not None
    [course] = courses(told.faults)
    assert reads_back_s(plan, whole, course) == 10.0  # as in `result`
    late = msgspec.structs.replace(KILLED[0], t_s=30.0)
    [harmless] = courses([late])
    assert reads_back_s(plan, whole, harmless) == 0.0
    assert reads_back_s(plan, cut_short, course) is None


def test_stored_tokens_that_were_no_hits_and_reads_beyond_hits_were_done_once_more() -> None:
    plan = make_plan([agent((100, 64), (36, 1), preloaded=640)])
    tokens = plan.layout.tokens
    records = [
        RequestRecord(
            request=0,
            agent=0,
            turn=0,
            prompt_tokens=740,
            hit_tokens=512,
            gen_tokens=64,
            submit_s=0.0,
            done_s=1.0,
        ),
        RequestRecord(
            request=1,
            agent=0,
            turn=1,
            prompt_tokens=840,
            hit_tokens=768,
            gen_tokens=1,
            pool_tokens=256,
            submit_s=1.0,
            done_s=2.0,
        ),
    ]
    read_bytes = plan.block_bytes * (512 + 512 + 128) / tokens
    first, *_ = plan.fabric.engine_snics
    nics = {nic.name: (0.0, read_bytes if nic is first else 0.0) for nic in plan.fabric.nics}
    none = {nic.name: (0.0, 0.0) for nic in plan.fabric.nics}
    samples = [
        CounterSample(t_s=0.0, nics=none, links={}, lanes={}),
        CounterSample(t_s=2.0, nics=nics, links={}, lanes={}),
    ]
    told = replace(result(plan), records=records, samples=samples)
    assert rework(plan, told) == Rework(recomputed=128, reread=128)
    assert rework(plan, replace(told, system=ORACLE)) == Rework(recomputed=128, reread=0)
