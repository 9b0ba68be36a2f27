"""A run that comes no further is noticed, and one that does is let be."""

from __future__ import annotations

import pytest

from plan.events import Status
from scenarios.running.standstill import ASKED, STILL_S, Pauses, Standstill

PATIENCE_S = 40.0


@pytest.fixture
def run() -> Standstill:
    """A run of two nodes that has come so far: 3 requests, 1000 bytes."""
    standstill = Standstill(("pe0", "de0"), PATIENCE_S, quiet_bytes=100.0)
    standstill.look(0.0, 3, 1000.0)
    return standstill


def test_nothing_for_longer_than_its_patience_is_the_end(run: Standstill) -> None:
    run.look(PATIENCE_S - 1, 3, 1000.0)
    assert not run.over(PATIENCE_S - 1)
    assert run.over(PATIENCE_S)


def test_a_request_done_is_progress(run: Standstill) -> None:
    run.look(30.0, 4, 1000.0)
    assert not run.over(PATIENCE_S)


def test_bytes_that_arrive_are_progress(run: Standstill) -> None:
    run.look(30.0, 3, 1500.0)
    assert not run.over(PATIENCE_S)


def test_what_tcp_says_to_itself_is_no_progress(run: Standstill) -> None:
    for second in range(1, int(PATIENCE_S)):
        run.look(float(second), 3, 1000.0 + 50 * second)
    assert run.over(PATIENCE_S)


def test_a_node_that_computes_is_progress(run: Standstill) -> None:
    run.heard(30.0, Status("pe0", rung=7, alarms=1))
    assert not run.over(PATIENCE_S)


def test_an_alarm_that_has_rung_since_is_progress_and_one_long_ago_is_not(run: Standstill) -> None:
    run.heard(10.0, Status("pe0", rung=7, alarms=0))
    run.heard(20.0, Status("pe0", rung=8, alarms=0))
    run.heard(30.0, Status("pe0", rung=8, alarms=0))
    assert not run.over(20.0 + PATIENCE_S - 1)
    assert run.over(20.0 + PATIENCE_S)


def test_nodes_are_asked_several_times_before_a_run_is_given_up(run: Standstill) -> None:
    asked = sum(run.asks(second) for second in range(int(PATIENCE_S)))
    assert asked == ASKED


def test_the_line_says_what_is_where_and_who_gives_no_answer(run: Standstill) -> None:
    run.heard(
        1.0,
        Status(
            "pe0",
            rung=0,
            alarms=0,
            requests={"assigned": 5},
            transfers={"kv pe0.hbm0-de0.dram0": 2},
        ),
    )
    assert run.explained(8) == (
        "no request was done, nothing arrived and nothing was computed for 40 s; "
        "3 of 8 requests are done, 5 assigned; under way 2 kv pe0.hbm0-de0.dram0; "
        "no answer from de0"
    )


def paused_s(pauses: Pauses, looks: list[tuple[float, float, bool]]) -> float:
    """What is told after looks of (time, bytes sent so far, whether sockets hold bytes)."""
    for now, sent, held in looks:
        if pauses.look(now, sent) and held:
            pauses.hold()
    return pauses.total_s


def test_a_fabric_that_sends_nothing_while_bytes_wait_stands_still() -> None:
    looks = [(0.0, 10.0, True), (1.0, 10.0, True), (3.0, 10.0, True), (3.25, 20.0, True)]
    assert paused_s(Pauses(), looks) == pytest.approx(3.25)


def test_a_fabric_that_has_nothing_to_send_does_not() -> None:
    assert paused_s(Pauses(), [(0.0, 10.0, False), (3.0, 10.0, False), (3.25, 20.0, True)]) == 0


def test_a_short_pause_is_not_worth_telling() -> None:
    short = STILL_S / 2
    assert paused_s(Pauses(), [(0.0, 1.0, True), (short / 2, 1.0, True), (short, 2.0, True)]) == 0
