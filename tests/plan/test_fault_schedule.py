"""Claims: faults come and go when they are due, whichever hands do it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.fault_schedule import NEVER, FaultSchedule, Places
from plan.faults import Fault, FaultEvent
from tests.examples import tries
from tests.nodes.plans import make_plan

FABRIC = make_plan([], prefill=2).fabric


class Hands:
    """Count what is broken at a time."""

    def __init__(self) -> None:
        self.broken: list[Fault] = []

    def apply(self, fault: Fault) -> str:
        self.broken.append(fault)
        return ""

    def take_back(self, fault: Fault) -> str:
        self.broken.remove(fault)
        return "whole"


def scheduled(*faults: Fault, requests: int | None = 100) -> tuple[FaultSchedule, Hands, list[str]]:
    hands, told = Hands(), []

    def tell(event: FaultEvent) -> None:
        told.append(f"{event.t_s:g} {event.what} {event.fault}")

    return FaultSchedule(faults, requests, hands, tell), hands, told


def kill(**named: float | None) -> Fault:
    return Fault(kind="kill", target="pe0", **named)  # type: ignore[arg-type]


def test_a_fault_by_a_share_of_requests_comes_so_long_after_these_are_done() -> None:
    schedule, _, told = scheduled(kill(at_share=0.3, at_s=2.0, for_s=1.0))
    schedule.done(29, 5.0)
    assert schedule.next_s == NEVER
    schedule.done(30, 6.0)
    schedule.done(31, 7.0)
    assert schedule.next_s == 8.0
    schedule.look(8.0)
    schedule.look(9.0)
    assert told == ["8 injected 0", "9 healed 0"]


def test_where_agents_come_without_end_there_is_no_share() -> None:
    schedule, _, _ = scheduled(kill(at_share=0.0), requests=None)
    schedule.done(10, 1.0)
    assert schedule.next_s == NEVER


def test_what_spoils_is_over_at_once_and_what_has_no_end_lasts() -> None:
    spoilt = Fault(kind="corrupt", target="st0", at_s=1.0, blocks=0.1)
    schedule, hands, told = scheduled(spoilt, kill(at_s=2.0))
    schedule.look(1.0)
    assert not schedule.lasts
    schedule.look(2.0)
    assert (schedule.lasts, schedule.next_s) == (True, NEVER)
    schedule.heal_all(9.0)
    assert hands.broken == [spoilt]
    assert told == ["1 injected 0", "2 injected 1", "9 healed 1"]


def test_what_has_not_come_at_the_end_is_skipped() -> None:
    schedule, hands, told = scheduled(kill(at_s=5.0), kill(at_share=0.5))
    schedule.skip_rest(3.0)
    schedule.done(100, 4.0)
    schedule.look(9.0)
    assert told == ["3 skipped 0", "3 skipped 1"]
    assert hands.broken == []


@given(st.integers(0, 2**32))
@tries(60)
def test_whatever_overlaps_each_is_broken_in_its_own_time(seed: int) -> None:
    rng = random.Random(seed)
    faults = [
        kill(at_s=float(rng.randrange(8)), for_s=float(rng.randrange(1, 8)) + number / 100)
        for number in range(6)
    ]
    schedule, hands, _ = scheduled(*faults)
    while schedule.next_s < NEVER:
        now_s = schedule.next_s
        schedule.look(now_s)
        for fault in faults:
            until_s = fault.at_s + (fault.for_s or 0.0)
            assert (fault in hands.broken) == (fault.at_s <= now_s < until_s)


def test_a_switch_s_fault_is_that_of_all_its_ports() -> None:
    down = Places(FABRIC).down(Fault(kind="down", target="ce0"))
    here = {nic.port for nic in FABRIC.nics if nic.switch == "ce0"}
    here |= {link.a_port for link in FABRIC.links if link.a == "ce0"}
    here |= {link.b_port for link in FABRIC.links if link.b == "ce0"}
    assert {port for switch, port in down if switch == "ce0"} == here


@pytest.mark.parametrize(("way", "egress"), [("out", "pe0.snic out"), ("in", "pe0.snic in")])
def test_one_way_is_one_egress_and_no_port(way: str, egress: str) -> None:
    fault = Fault(kind="down", target="pe0.snic", way=way)  # type: ignore[arg-type]
    assert [one.egress for one in Places(FABRIC).hurt(fault)] == [egress]
    assert Places(FABRIC).down(fault) == {}
