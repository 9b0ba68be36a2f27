"""Claims: what the registry of systems holds together."""

from __future__ import annotations

import pytest

from nodes.scheduling.registry import POLICIES, inter_engine_policy
from plan.deployment import SchedulerConstants
from scenarios.configuration.systems import BASELINE, BUILT_IN, PROPOSED, SYSTEMS, title
from scenarios.reports.drawing import OTHER_COLOURS, colour


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_has_a_policy(name: str) -> None:
    assert inter_engine_policy(SYSTEMS[name], SchedulerConstants(alpha_tokens=1, beta_tokens=1))


def test_every_policy_is_of_some_system() -> None:
    assert {system.scheduler for system in SYSTEMS.values()} == set(POLICIES)


def test_no_two_systems_look_or_are_called_alike() -> None:
    described = ["mine", "yours"]
    names = [*BUILT_IN, *described]
    assert len({colour(name, names) for name in names}) == len(names)
    assert not {one.colour for one in BUILT_IN.values()} & {*OTHER_COLOURS}
    assert len({title(name) for name in names}) == len(names)


def test_the_baseline_reads_on_one_side_and_what_is_proposed_on_either() -> None:
    assert SYSTEMS[BASELINE].paths == "pe"
    assert SYSTEMS[PROPOSED].paths == "dual"
