"""Claims about a fabric that is disturbed while it is up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plan.errors import RunError
from plan.model import write_plan
from scenarios.running.fabric import Fabric, open_fabric
from scenarios.running.journal import JOURNAL, Journal
from tests.topology.plans import make_plan
from topology.ovs import vsctl

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]

PLAN = make_plan(byte_scale=16000)


@pytest.fixture
def fabric(tmp_path: Path) -> Iterator[Fabric]:
    write_plan(PLAN, tmp_path / "plan.json")
    with (
        Journal(tmp_path / JOURNAL) as journal,
        open_fabric(PLAN, tmp_path, 0.5, journal, probe=False) as started,
    ):
        yield started


def listen_until(fabric: Fabric, incident: str) -> None:
    """Heed the controller until an incident is known; waits for what it says."""
    while not any(incident in known for known in fabric.controller.incidents):
        fabric.controller.heed(fabric.controller.events.take())


def test_a_switch_that_loses_its_controller_is_an_incident(fabric: Fabric) -> None:
    fabric.controller.check()
    assert fabric.controller.incidents == []
    vsctl("del-controller", "ce0")
    listen_until(fabric, "switch ce0 lost its controller")


def test_a_link_that_fails_is_an_incident(fabric: Fabric) -> None:
    link = PLAN.fabric.links[0]
    fabric.network.set_link(link, up=False)
    listen_until(fabric, f"({link.name}) went down")


def test_a_switch_that_is_not_the_planned_one_ends_the_run(fabric: Fabric) -> None:
    vsctl("set", "bridge", "ce0", "other-config:datapath-id=00000000000000ff")
    with pytest.raises(RunError, match="controller: unknown switch"):
        listen_until(fabric, "an incident that never comes")
