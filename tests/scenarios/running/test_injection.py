"""Claims: faults come when they are due, last as long as told, and are healed at the end."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from plan.fault_schedule import Places
from plan.faults import Fault, FaultEvent
from scenarios.results.fidelity import AFTERMATH_S
from scenarios.running import injection
from scenarios.running.injection import Injection
from tests.nodes.plans import make_plan


class Hands:
    """Does what injuries and processes are told to, on paper."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.dead: set[str] = set()

    def note(self, what: str) -> int:
        self.done.append((what,))
        return 2

    def __getattr__(self, name: str) -> Any:
        def note(*args: Any, **named: Any) -> int:
            self.done.append((name, *args, *named.values()))
            return 0

        return note

    def alive(self, node: str) -> bool:
        return node not in self.dead

    def end(self, node: str) -> None:
        self.dead.add(node)

    def begin(self, node: str) -> int:
        self.dead.discard(node)
        return 2


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    made = Hands()
    monkeypatch.setattr(injection, "Injuries", lambda *_: made)
    return made


def injected(hands: Hands, *faults: Fault, **plan: Any) -> tuple[Injection, list[str]]:
    told: list[str] = []

    def tell(event: FaultEvent) -> None:
        told.append(f"{event.t_s:g} {event.what} {event.kind} {event.detail}".strip())

    controller = SimpleNamespace(expected=set(), rerouted=0, pid=0, alive=True)
    controller.end, controller.begin = (partial(hands.note, what) for what in ("end", "begin"))
    fabric: Any = SimpleNamespace(network=None, controller=controller)
    planned = msgspec.structs.replace(make_plan([], prefill=2), faults=faults, **plan)
    nodes: Any = hands
    return Injection(planned, fabric, nodes, Path(), tell), told


def test_a_fault_comes_and_goes_in_its_time(hands: Hands) -> None:
    fault = Fault(kind="slow", target="pe0.snic", at_s=2, for_s=3, to=0.5, way="in")
    made, told = injected(hands, fault)
    assert made.left_s(0.5) == 1.5
    made.look(1.9, 0)
    assert (told, made.excuses(1.9)) == ([], False)
    made.look(2.1, 0)
    assert made.excuses(99.0)
    assert made.left_s(3.0) == pytest.approx(2.1)
    made.look(5.1, 0)
    assert told == ["2.1 injected slow", "5.1 healed slow"]
    assert made.excuses(5.1 + AFTERMATH_S - 0.1)
    assert not made.excuses(5.1 + AFTERMATH_S)
    egress = "pe0.snic in"
    assert hands.done == [("slow", egress, 0.5), ("quicken", egress, 0.5)]


def test_what_lasts_to_the_end_is_healed_there_and_what_never_came_is_told(hands: Hands) -> None:
    lasting = Fault(kind="kill", target="pe0", at_s=1)
    late = Fault(kind="pause", target="pe1", at_s=99, for_s=1)
    made, told = injected(hands, lasting, late)
    made.look(1.0, 0)
    assert hands.dead == {"pe0"}
    made.ends(7.0)
    assert hands.dead == set()
    assert told == ["1 injected kill", "7 healed kill life 2", "7 skipped pause"]


def test_who_is_dead_is_not_killed_again(hands: Hands) -> None:
    one = Fault(kind="kill", target="pe0", at_s=1, for_s=5)
    other = Fault(kind="power_off", target="pe0", at_s=2, for_s=1)
    made, told = injected(hands, one, other)
    for now_s in (1.0, 2.0, 3.0, 6.0):
        made.look(now_s, 0)
    assert told == [
        "1 injected kill",
        "2 injected power_off it was dead already",
        "3 healed power_off life 2",
        "6 healed kill it is there again",
    ]


def test_routes_that_changed_are_told_of_the_fault_that_they_are_for(hands: Hands) -> None:
    made, told = injected(hands, Fault(kind="down", target="ce0-ca0", at_s=1, for_s=2))
    made.look(1.0, 0)
    down = Places(make_plan([], prefill=2).fabric).down(Fault(kind="down", target="ce0-ca0"))
    assert made._controller.expected == set(down)
    made._controller.rerouted += 1
    made.look(1.1, 0)
    made.look(1.2, 0)
    assert told == ["1 injected down", "1.1 recovered down routes go around it"]


def test_one_way_comes_to_nothing_while_its_port_is_up(hands: Hands) -> None:
    fault = Fault(kind="down", target="pe0.snic", at_s=1, for_s=1, way="out")
    made, told = injected(hands, fault)
    made.look(1.0, 0)
    assert made._controller.expected == set()
    made._controller.rerouted += 1
    made.look(2.0, 0)
    assert told == ["1 injected down", "2 healed down 0 frames lost"]
    egress = "pe0.snic out"
    assert hands.done == [("lose", egress, 1.0), ("keep", egress, 1.0)]


def test_a_controller_begins_anew_and_is_heeded_again(hands: Hands) -> None:
    made, told = injected(hands, Fault(kind="kill", target="controller", at_s=1, for_s=1))
    made.look(1.0, 0)
    made.look(2.0, 0)
    made._controller.rerouted += 1
    made.look(2.5, 0)
    assert told == [
        "1 injected kill",
        "2 healed kill life 2",
        "2.5 recovered kill all switches are led again",
    ]
    assert hands.done == [("leave_controller",), ("end",), ("begin",), ("watch_controller",)]
