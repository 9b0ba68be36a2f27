"""Claims: a cluster that this machine could not start is refused, with why and what would do."""

from __future__ import annotations

import os
import re

import pytest

from plan.errors import ScenarioError
from scenarios.planning.processes import NODE_BYTES, READY_S, START_S, check_nodes
from topology import machine


def with_machine(monkeypatch: pytest.MonkeyPatch, free_bytes: float, cores: int) -> None:
    monkeypatch.setattr(machine, "free_bytes", lambda: int(free_bytes))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))


@pytest.mark.parametrize(
    ("free_bytes", "cores", "why"),
    [
        (20 * NODE_BYTES, 64, "needs 25 GB of memory, 1 are free"),
        (1e12, 2, "needs 125 s to start on 2 cores, 60 are given"),
    ],
    ids=["memory", "processors"],
)
def test_too_many_nodes_are_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, free_bytes: float, cores: int, why: str
) -> None:
    with_machine(monkeypatch, free_bytes, cores)
    with pytest.raises(ScenarioError, match=re.escape(why)) as caught:
        check_nodes("250P250D", 500)
    found = re.search(r"at most (\d+) nodes", caught.value.remedy)
    assert found is not None
    check_nodes("fewer", int(found[1]))
    with pytest.raises(ScenarioError):
        check_nodes("one more", int(found[1]) + 1)


def test_what_starts_in_time_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_machine(monkeypatch, 1e12, 2)
    check_nodes("as many as there is time for", int(2 * READY_S / START_S))
