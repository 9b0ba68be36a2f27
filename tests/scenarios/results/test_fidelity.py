"""Claims: what was declared to break is no reason for doubt while it lasts, and nothing else is."""

from __future__ import annotations

from math import ceil

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from plan.faults import FaultEvent
from plan.records import LATE_S, NodeStats
from scenarios.results.fidelity import AFTERMATH_S, fault_spans, lateness_p99_s
from tests.examples import tries

INF = float("inf")


def event(t_s: float, what: str, kind: str, fault: int) -> FaultEvent:
    told = {"t_s": t_s, "what": what, "kind": kind, "target": "pe0", "fault": fault}
    return msgspec.convert(told, FaultEvent)


def test_a_fault_excuses_from_its_injection_to_a_moment_after_it_was_healed() -> None:
    told = [
        event(1.0, "injected", "slow", 0),
        event(2.0, "injected", "slow", 1),
        event(3.0, "healed", "slow", 1),
        event(9.0, "healed", "slow", 0),
        event(20.0, "injected", "kill", 2),
        event(30.0, "skipped", "kill", 3),
    ]
    spans = [(1.0, 9.0 + AFTERMATH_S), (2.0, 3.0 + AFTERMATH_S), (20.0, INF)]
    assert fault_spans(told) == spans


def test_spoilt_blocks_excuse_a_moment_for_they_are_read_as_fast_as_others() -> None:
    assert fault_spans([event(5.0, "injected", "corrupt", 0)]) == [(5.0, 5.0 + AFTERMATH_S)]


def stats(late: list[tuple[float, float]], alarms: int, p99_s: float) -> NodeStats:
    return NodeStats(node="sched", alarms=alarms, late=late, lateness_s=(1e-4, p99_s, 1.0))


def test_who_was_late_in_time_of_need_is_excused_and_nobody_else() -> None:
    known = stats([(5.0, 0.05), (50.0, 0.02)], alarms=80, p99_s=0.05)
    assert lateness_p99_s(known) == 0.05
    assert lateness_p99_s(known, [(4.0, 6.0)]) == 0.02
    assert lateness_p99_s(known, [(40.0, INF)]) == 0.05
    assert lateness_p99_s(known, [(0.0, INF)]) == LATE_S
    assert lateness_p99_s(NodeStats(node="sched"), [(0.0, INF)]) is None


@given(st.lists(st.tuples(st.floats(0, 99), st.floats(0.002, 1)), max_size=60), st.integers(1, 500))
@tries(60)
def test_it_is_the_percentile_of_those_that_were_not_broken(
    late: list[tuple[float, float]], more: int
) -> None:
    """`more` were in time, all of them where nothing was broken."""
    broken_s = [(10.0, 20.0), (15.0, 40.0)]
    outside = sorted(late_s for due_s, late_s in late if not 10.0 <= due_s < 40.0)
    everything = sorted([0.0] * more + [late_s for _, late_s in late])
    known = stats(late, len(everything), everything[ceil(0.99 * len(everything)) - 1])
    found = lateness_p99_s(known, broken_s)
    assert found is not None
    left = [0.0] * more + outside
    wanted = left[ceil(0.99 * len(left)) - 1]
    assert found == wanted or (wanted == 0.0 and found <= LATE_S)
