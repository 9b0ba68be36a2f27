"""Claims about when a run stands still, what is said then, and what counts as a pause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.events import Status
from scenarios.running.standstill import ASKED, STILL_S, Pauses, Standstill

PATIENCE_S = 40.0
QUIET_BYTES = 1500.0


def standstill(*nodes: str) -> Standstill:
    """At 0 s, three requests were done and a megabyte had arrived."""
    watch = Standstill(nodes or ("pe0",), PATIENCE_S, QUIET_BYTES)
    watch.look(0.0, 3, 1e6)
    return watch


def idle(node: str, rung: int = 7) -> Status:
    return Status(node=node, rung=rung, alarms=0)


def test_a_run_in_which_nothing_happens_is_over_when_patience_is() -> None:
    watch = standstill()
    for now in range(1, 40):
        watch.look(float(now), 3, 1e6)
        assert not watch.over(float(now))
    watch.look(40.0, 3, 1e6)
    assert watch.over(40.0)


@pytest.mark.parametrize(("done", "arrived_bytes"), [(4, 1e6), (3, 1e6 + 1501)])
def test_a_request_or_more_than_a_frame_is_progress(done: int, arrived_bytes: float) -> None:
    watch = standstill()
    watch.look(39.0, done, arrived_bytes)
    assert not watch.over(78.0)
    assert watch.over(79.0)


def test_what_tcp_says_to_itself_is_no_progress() -> None:
    """Acknowledgements and probes arrive on and on where a process takes nothing in any more."""
    watch = standstill()
    for now in range(1, 41):
        watch.look(float(now), 3, 1e6 + 200.0 * now)
    assert watch.over(40.0)


def test_nodes_are_asked_some_times_before_a_run_is_given_up() -> None:
    watch = standstill()
    asked = [now for now in range(41) if watch.asks(float(now))]
    assert asked == [10, 20, 30, 40][: len(asked)]
    assert len(asked) >= ASKED


def test_a_long_computation_is_progress() -> None:
    watch = standstill("pe0", "de0")
    watch.heard(10.0, idle("pe0"))
    watch.heard(10.0, Status(node="de0", rung=5, alarms=1))
    assert not watch.over(49.0)
    assert watch.over(50.0)


def test_alarms_that_ring_between_two_answers_are_progress() -> None:
    watch = standstill()
    watch.heard(10.0, idle("pe0", rung=7))
    watch.heard(20.0, idle("pe0", rung=9))
    assert not watch.over(59.0)


def test_the_first_answer_alone_is_no_progress() -> None:
    watch = standstill()
    watch.heard(39.0, idle("pe0"))
    assert watch.over(40.0)


@given(st.lists(st.floats(0.01, PATIENCE_S - 0.01), max_size=50))
def test_a_run_that_is_never_still_for_long_is_never_over(gaps: list[float]) -> None:
    watch = standstill()
    now = 0.0
    for done, gap in enumerate(gaps, 4):
        now += gap
        assert not watch.over(now)
        watch.look(now, done, 1e6)


def test_the_line_says_how_many_requests_are_where() -> None:
    watch = standstill("sched", "pe0", "de0")
    where = {"waiting for a PE": 5, "decoding": 2}
    watch.heard(10.0, Status(node="sched", rung=0, alarms=0, requests=where))
    watch.heard(10.0, Status(node="pe0", rung=0, alarms=0, transfers={"kv pe0.hbm0-de0.dram0": 3}))
    assert watch.explained(100) == (
        "no request was done, nothing arrived and nothing was computed for 40 s;"
        " 3 of 100 requests are done, 5 waiting for a PE, 2 decoding;"
        " under way 3 kv pe0.hbm0-de0.dram0; no answer from de0"
    )


def test_where_nothing_is_under_way_the_line_says_where_tasks_wait() -> None:
    watch = standstill("de0")
    watch.heard(10.0, Status(node="de0", rung=0, alarms=0, tasks={"budget.py:36 in take": 9}))
    assert watch.explained(100).endswith("; waiting 9 de0 budget.py:36 in take")


def test_of_many_transfers_the_line_names_the_most_frequent() -> None:
    watch = standstill("pe0")
    transfers = {f"kv {number}": number for number in range(1, 9)}
    watch.heard(10.0, Status(node="pe0", rung=0, alarms=0, transfers=transfers))
    assert watch.explained(9).endswith("under way 8 kv 8, 7 kv 7, 6 kv 6, 5 kv 5 and 10 more")


def paused_s(*stills: int, held: bool = True) -> float:
    """Looked at ten times a second, with a second of traffic before and after every silence.

    Args:
        stills: length of each silence, tenths of a second; held: bytes wait meanwhile.
    """
    pauses = Pauses()
    moves = [True] * 10
    for still in stills:
        moves += [False] * still + [True] * 10
    sent = 0.0
    for tick, moving in enumerate(moves):
        sent += 1000.0 * moving
        if pauses.look(tick / 10, sent) and held:
            pauses.hold()
    return pauses.total_s


@pytest.mark.parametrize("still", [5, 30, 100])
def test_a_fabric_that_is_silent_while_bytes_wait_has_paused(still: int) -> None:
    assert paused_s(still) == pytest.approx((still + 1) / 10)


def test_a_fabric_that_has_nothing_to_carry_has_not_paused() -> None:
    assert paused_s(100, held=False) == 0.0


def test_bytes_that_one_look_finds_may_have_been_posted_just_then() -> None:
    pauses = Pauses()
    pauses.look(0.0, 1000.0)
    assert pauses.look(0.6, 1000.0)
    pauses.hold()
    pauses.look(1.2, 2000.0)
    assert pauses.total_s == 0.0


def test_an_instant_of_silence_is_not_worth_telling() -> None:
    assert paused_s(round(10 * STILL_S) - 2) == 0.0


def test_pauses_add_up() -> None:
    assert paused_s(20, 3, 30) == pytest.approx(2.1 + 3.1)
