"""Claims: whatever breaks, every request ends once, nothing wrong is used, nothing is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from unittest.mock import patch

import msgspec
import pytest

from nodes.engines.decode_node import DecodeNode
from nodes.virtual_run import VirtualRun, simulate
from plan.deployment import System
from plan.faults import AttemptRecord, Fault, FaultEvent, Recovery
from plan.model import Plan
from plan.records import RequestRecord
from tests.nodes.plans import BASIC, DRAM_POOL, DUALPATH, SPLIT, agent, make_plan

REST_S = 30.0
AGENTS, TURNS = 8, 3
SMALL = make_plan(
    [agent((3000, 200), (500, 100), (800, 50), preloaded=20_000)] * AGENTS,
    prefill=2,
    decode=2,
    snic_bps=5e9,
)


@dataclass
class Survived:
    """What a run with faults told."""

    run: VirtualRun
    records: list[RequestRecord] = field(default_factory=list)
    events: list[FaultEvent] = field(default_factory=list)
    attempts: list[AttemptRecord] = field(default_factory=list)

    @property
    def jct_s(self) -> float:
        return max(record.done_s or 0.0 for record in self.records)


def survive(
    system: System, *faults: Fault, plan: Plan = SMALL, recovery: Recovery | None = None
) -> Survived:
    """Serve a plan in which things break, and look that nothing is lost, wrong or kept."""
    broken = msgspec.structs.replace(plan, faults=faults, recovery=recovery or Recovery())
    records: list[RequestRecord] = []
    told: list[FaultEvent | AttemptRecord] = []
    run = simulate(
        broken, system, 1.0, records.append, lambda sample: None, told.append, rest_s=REST_S
    )
    asked = [(a, t) for a, one in enumerate(plan.trajectories) for t in range(len(one.turns))]
    assert sorted((record.agent, record.turn) for record in records) == asked
    assert sum(stats.blocks_corrupt for stats in run.stats) == 0
    assert run.aftermath is not None
    assert run.aftermath.held == {}
    for nic, (counted, sent) in run.aftermath.sent_bytes.items():
        assert counted == pytest.approx(sent, abs=1.0), nic
    found = Survived(run, records)
    for one in told:
        if isinstance(one, FaultEvent):
            found.events.append(one)
        else:
            found.attempts.append(one)
    return found


WHOLE_S = max(r.done_s or 0.0 for r in survive(DUALPATH).records)
AT_S = WHOLE_S / 3

FAULTS = [
    Fault(kind="down", target="pe0.snic", at_s=AT_S, for_s=1.0),
    Fault(kind="down", target="de0.cnic0", at_s=AT_S, for_s=8.0),
    Fault(kind="down", target="pe0.mgmt", at_s=AT_S, for_s=8.0),
    Fault(kind="down", target="sched.mgmt", at_s=AT_S, for_s=8.0),
    Fault(kind="down", target="ce0", at_s=AT_S, for_s=2.0),
    Fault(kind="slow", target="pe0.snic", at_s=AT_S, for_s=5.0, to=0.1),
    Fault(kind="loss", target="de0.snic", at_s=AT_S, for_s=5.0, share=0.01),
    Fault(kind="kill", target="pe0", at_s=AT_S, for_s=1.0),
    Fault(kind="kill", target="de0", at_s=AT_S, for_s=8.0),
    Fault(kind="kill", target="de1", at_s=AT_S),
    Fault(kind="kill", target="st0", at_s=AT_S, for_s=5.0),
    Fault(kind="kill", target="controller", at_s=AT_S, for_s=5.0),
    Fault(kind="kill", target="sched", at_s=AT_S, for_s=1.0),
    Fault(kind="kill", target="sched", at_s=AT_S, for_s=8.0),
    Fault(kind="power_off", target="sched", at_s=AT_S, for_s=2.0),
    Fault(kind="pause", target="sched", at_s=AT_S, for_s=8.0),
    Fault(kind="pause", target="de0", at_s=AT_S, for_s=1.0),
    Fault(kind="pause", target="pe1", at_s=AT_S, for_s=8.0),
    Fault(kind="power_off", target="pe0", at_s=AT_S, for_s=8.0),
    Fault(kind="power_off", target="st0", at_s=AT_S, for_s=8.0),
    Fault(kind="corrupt", target="st0", at_s=AT_S, blocks=0.1),
    Fault(kind="disk_full", target="st0", at_s=AT_S, for_s=5.0),
]


@pytest.mark.parametrize("system", [BASIC, DUALPATH, DRAM_POOL], ids=lambda system: system.name)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_kind_of_fault_is_survived(fault: Fault, system: System) -> None:
    found = survive(system, fault)
    assert [record.error for record in found.records] == [None] * AGENTS * TURNS
    what = [event.what for event in found.events if event.kind == fault.kind]
    assert what[0] == "injected"
    assert ("healed" in what) == (fault.for_s is not None)


def test_a_dead_node_is_noticed_within_its_lease_and_its_requests_go_elsewhere() -> None:
    recovery = Recovery(heartbeat_s=0.5, lease_s=1.5)
    found = survive(DUALPATH, Fault(kind="kill", target="de1", at_s=AT_S), recovery=recovery)
    [noticed] = [event for event in found.events if event.what == "detected"]
    assert noticed.target == "de1"
    assert noticed.t_s - AT_S <= recovery.lease_s + recovery.heartbeat_s
    assert found.attempts
    assert {attempt.de for attempt in found.attempts} == {"de1.0"}
    again = {attempt.request for attempt in found.attempts}
    assert {r.de for r in found.records if r.request in again} == {"de0.0"}


@pytest.mark.parametrize("kind", ["power_off", "down"])
def test_of_a_batch_only_what_needs_the_broken_node_fails(
    kind: Literal["power_off", "down"],
) -> None:
    context = agent((3000, 200), (500, 100), (800, 50), preloaded=20_000)
    plan = make_plan([context] * 3 * AGENTS, prefill=1, decode=2)  # batches for both decode nodes
    target = "de1" if kind == "power_off" else "de1.cnic0"
    fault = Fault(kind=kind, target=target, at_s=AT_S / 3, for_s=8.0)
    attempts = survive(DUALPATH, fault, plan=plan).attempts
    assert attempts
    assert {attempt.de for attempt in attempts} == {"de1.0"}


def test_a_node_that_only_paused_for_longer_than_its_lease_begins_anew() -> None:
    found = survive(DUALPATH, Fault(kind="pause", target="de0", at_s=AT_S, for_s=6.0))
    back = [event for event in found.events if event.what == "recovered" and "life" in event.detail]
    assert [(event.target, event.detail) for event in back] == [("de0", "it serves again, life 2")]


def test_who_has_not_heard_of_an_attempts_end_is_not_listened_to() -> None:
    plan = msgspec.structs.replace(
        SMALL,
        faults=(Fault(kind="kill", target="pe0", at_s=0.1, for_s=0.1),),
        recovery=Recovery(),
    )
    records: list[RequestRecord] = []
    with patch.object(DecodeNode, "_cancel", lambda node, attempt: None):
        run = simulate(plan, DUALPATH, 1.0, records.append, lambda sample: None)
    assert len(records) == AGENTS * TURNS
    late = {stats.node for stats in run.stats if stats.late_messages}
    assert late
    assert late == {"pe0"}


def test_a_spoilt_block_is_computed_anew_and_then_stored_whole() -> None:
    spoilt = survive(DUALPATH, Fault(kind="corrupt", target="st0", at_s=0.0, blocks=0.05))
    at_once = survive(DUALPATH, Fault(kind="corrupt", target="st0", at_s=AT_S, blocks=0.2))
    assert sum(stats.blocks_refused for stats in at_once.run.stats) > 0
    hits = sum(record.hit_tokens for record in at_once.records)
    assert hits < sum(record.hit_tokens for record in survive(DUALPATH).records)
    assert spoilt.jct_s > 0


def test_attempts_are_bounded_and_what_fails_says_why() -> None:
    faults = [Fault(kind="kill", target="de0", at_s=at_s, for_s=0.5) for at_s in (1.0, 3.0, 5.0)]
    plan = make_plan([agent((3000, 4000), preloaded=20_000)] * 4)
    found = survive(DUALPATH, *faults, plan=plan, recovery=Recovery(attempts=2))
    assert max(attempt.number for attempt in found.attempts) == 2
    failed = {record.request: record.error for record in found.records if record.error}
    assert set(failed) == {attempt.request for attempt in found.attempts if attempt.last}
    assert failed
    assert all("that was attempt 2" in error for error in failed.values())


def test_a_scheduler_that_begins_anew_finds_what_is_under_way_where_it_is() -> None:
    whole = survive(DUALPATH)
    found = survive(DUALPATH, Fault(kind="kill", target="sched", at_s=AT_S, for_s=0.5))
    assert found.attempts == []
    assert found.jct_s < whole.jct_s + 2.0
    [again] = [event for event in found.events if event.what == "recovered"]
    going, _, rest = again.detail.partition("; ")[2].partition(" of ")
    assert again.target == "sched"
    assert 0 < int(going) <= int(rest.split()[0])


@pytest.mark.parametrize("after_s", [0.5, 4.0, 8.0])
@pytest.mark.parametrize("node", ["pe0", "de1", "st0"])
def test_who_died_while_there_was_no_scheduler_is_missed_and_found_again(
    node: str, after_s: float
) -> None:
    gone = Fault(kind="kill", target="sched", at_s=AT_S, for_s=3.0)
    died = Fault(kind="kill", target=node, at_s=AT_S + 0.2, for_s=after_s)
    found = survive(DUALPATH, gone, died)
    assert [record.error for record in found.records] == [None] * AGENTS * TURNS
    # who is back before a lease after the scheduler is, answers it
    missed = [event.target for event in found.events if event.what == "detected"]
    assert missed == ([] if 0.2 + after_s < 3.0 + Recovery().lease_s else [node])


def test_who_was_taken_for_dead_by_an_earlier_scheduler_has_to_begin_anew() -> None:
    pause = Fault(kind="pause", target="pe0", at_s=AT_S, for_s=5.0)
    gone = Fault(kind="kill", target="sched", at_s=AT_S + 3.5, for_s=1.2)
    found = survive(DUALPATH, pause, gone)
    back = [event for event in found.events if event.what == "recovered" and event.target == "pe0"]
    assert [event.detail for event in back][-1] == "it serves again, life 2"


@pytest.mark.parametrize("collectives", ["alltoall", None])
def test_groups_meet_again_under_a_scheduler_that_begins_anew(collectives: str | None) -> None:
    plan = msgspec.structs.replace(SMALL, collectives=collectives)
    faults = [Fault(kind="kill", target="sched", at_s=AT_S + t, for_s=0.3) for t in (0.0, 1.5)]
    faults.append(Fault(kind="kill", target="de0", at_s=AT_S + 0.1, for_s=0.5))
    survive(DUALPATH, *faults, plan=plan)


def test_a_request_may_fail_at_once() -> None:
    kill = Fault(kind="kill", target="de0", at_s=AT_S, for_s=1.0)
    found = survive(DUALPATH, kill, recovery=Recovery(request="fail"))
    assert all(attempt.last for attempt in found.attempts)
    assert sum(record.error is not None for record in found.records) == len(found.attempts) > 0


CUT = Fault(kind="down", target="pe0.snic", at_s=AT_S)


def test_hits_that_one_side_cannot_read_the_other_does() -> None:
    found = survive(DUALPATH, CUT)
    refused = {attempt.request for attempt in found.attempts}
    again = [record for record in found.records if record.request in refused]
    assert again
    assert {record.path for record in again} == {"de"}
    assert all(record.hit_tokens for record in again)


@pytest.mark.parametrize(
    ("system", "hits"), [(DUALPATH, "recompute"), (BASIC, "other_path")], ids=["asked", "one path"]
)
def test_hits_that_cannot_be_read_are_computed(system: System, hits: str) -> None:
    found = survive(system, CUT, recovery=msgspec.convert({"hits": hits}, Recovery))
    refused = {attempt.request for attempt in found.attempts if "storage" in attempt.cause}
    assert refused
    assert {r.hit_tokens for r in found.records if r.request in refused} == {0}


def test_requests_fail_that_no_node_is_left_for_in_time() -> None:
    plan = make_plan([agent((3000, 4000), preloaded=20_000)] * 4)
    kill = Fault(kind="kill", target="pe0", at_s=0.2, for_s=50.0)
    found = survive(DUALPATH, kill, plan=plan, recovery=Recovery(give_up_s=10.0))
    errors = {record.error for record in found.records}
    assert "no prefill node for 10 s" in errors


@pytest.mark.parametrize("collectives", ["alltoall", "tensor", None])
@pytest.mark.parametrize("node", ["pe0", "pe1", "de0", "de1"])
def test_a_group_goes_on_without_its_leader_or_a_member(node: str, collectives: str | None) -> None:
    plan = msgspec.structs.replace(SMALL, collectives=collectives)
    survive(DUALPATH, Fault(kind="kill", target=node, at_s=AT_S, for_s=6.0), plan=plan)


def test_the_same_faults_give_the_same_bytes() -> None:
    faults = [FAULTS[1], Fault(kind="kill", target="pe0", at_s=AT_S + 1, for_s=3.0)]
    one, two = (survive(SPLIT, *faults) for _ in range(2))
    assert msgspec.json.encode(one.records) == msgspec.json.encode(two.records)
    assert one.events == two.events
    assert one.attempts == two.attempts


def test_a_fault_by_a_share_of_requests_comes_when_these_are_done() -> None:
    found = survive(DRAM_POOL, Fault(kind="down", target="pe0.snic", at_share=0.5, for_s=1.0))
    done = sorted(record.done_s or 0.0 for record in found.records)
    [injected] = [event for event in found.events if event.what == "injected"]
    assert injected.t_s == pytest.approx(done[len(done) // 2 - 1], abs=1e-3)


def test_what_has_not_come_when_the_run_is_over_is_said_to_be_skipped() -> None:
    late = Fault(kind="down", target="pe0.snic", at_share=1.0, at_s=1e3)
    later = Fault(kind="kill", target="pe0", at_s=1e3, for_s=1.0)
    found = survive(DUALPATH, late, later)
    assert [event.what for event in found.events] == ["skipped", "skipped"]
