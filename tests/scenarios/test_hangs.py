"""A run that can come no further ends by itself, in one line that says what it waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from plan.events import End, JournalEvent, Served
from plan.fabric import Nic
from plan.model import Plan, read_plan
from plan.patience import standstill_s, unacknowledged_s
from scenarios.running.outcome import DOUBTED, FAILED
from tests.scenarios.commands import TINY, await_entry, entries, process_of, started
from topology.tcp import RTO_MIN_S

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

LONG = (
    *("--systems", "dualpath"),
    *("--set", "workload.turns.count=20", "--set", "workload.agents=64"),
)
SLACK_S = 15.0
"""For looks once a second, and the end of a run on a busy machine."""


class Running(NamedTuple):
    """A run that serves its requests, and one of them that was done."""

    process: subprocess.Popen[str]
    out: Path

    @property
    def plan(self) -> Plan:
        return read_plan(self.out / "plan.json")

    def nic(self, name: str) -> Nic:
        return next(nic for nic in self.plan.fabric.nics if nic.name == name)

    @property
    def switch(self) -> int:
        return process_of(self.process.pid, "ovs-vswitchd", "ovs-vswitchd")

    def inside(self, *command: str) -> None:
        """Run a command in the run's sandbox."""
        sandbox = ("nsenter", "-t", str(self.switch), "-n", "-m")
        subprocess.run([*sandbox, *command], check=True)

    def ended(self, within_s: float) -> str:
        """Its error, once it has ended with the status of a failure."""
        begun = time.monotonic()
        assert self.process.wait(within_s + SLACK_S) == FAILED
        print(f"ended {time.monotonic() - begun:.1f} s later")
        (end,) = (entry for entry in entries(self.out) if isinstance(entry, End))
        assert end.error is not None
        assert self.process.stderr is not None
        assert self.process.stderr.read().splitlines()[-1] == f"error: {end.error}"
        return end.error


Injury = Callable[[Running], None]


def one_is_done(entry: JournalEvent) -> bool:
    return isinstance(entry, Served) and entry.done > 0


def stop_a_node(running: Running) -> None:
    os.kill(process_of(running.process.pid, "nodes.main", "de0"), signal.SIGSTOP)


def take_a_nic_down(running: Running) -> None:
    running.inside("ip", "link", "set", running.nic("pe0.snic").switch_device, "down")


def remove_a_bridge(running: Running) -> None:
    running.inside("ovs-vsctl", "--timeout=10", "del-br", running.nic("pe0.cnic0").switch)


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Injury, Running]]:
    """Runs that were injured when a request of theirs was done.

    How they wait is what is tested, so they do it together, the one that waits longest first.
    """
    found: dict[Injury, Running] = {}
    with ExitStack() as stack:
        for injure in (stop_a_node, take_a_nic_down, remove_a_bridge):
            out = tmp_path_factory.mktemp(injure.__name__) / "run"
            process = stack.enter_context(started(TINY, out, *LONG))
            await_entry(process, out, one_is_done)
            found[injure] = Running(process, out)
            injure(found[injure])
        yield found


def test_a_nic_that_goes_down_for_good_ends_the_run_and_is_named(
    hanging: dict[Injury, Running],
) -> None:
    running = hanging[take_a_nic_down]
    error = running.ended(RTO_MIN_S + unacknowledged_s(running.plan.scale))
    ends = ("pe0.snic-st0.snic", "st0.snic-pe0.snic")
    why = "broke: what was sent again had no answer for 15 s"
    assert any(f"storage connection {pair} {why}" in error for pair in ends)
    assert "(pe0.snic) went down" in error


def test_a_bridge_that_is_removed_ends_the_run_and_is_named(
    hanging: dict[Injury, Running],
) -> None:
    running = hanging[remove_a_bridge]
    bridge = running.nic("pe0.cnic0").switch
    error = running.ended(RTO_MIN_S + unacknowledged_s(running.plan.scale))
    assert "had no answer for 15 s" in error
    assert f"switch {bridge} lost its controller" in error


def test_a_node_that_is_stopped_ends_the_run_with_where_all_requests_are(
    hanging: dict[Injury, Running],
) -> None:
    running = hanging[stop_a_node]
    error = running.ended(standstill_s(running.plan.scale))
    assert "nothing arrived and nothing was computed for 45 s" in error
    assert " of 1280 requests are done, " in error
    assert "no answer from de0" in error


def test_a_switch_daemon_that_pauses_shows_in_the_verdict(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with started(TINY, out, "--systems", "dualpath") as process:
        await_entry(process, out, one_is_done)
        switch = Running(process, out).switch
        os.kill(switch, signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3.0)
        os.kill(switch, signal.SIGCONT)
        assert process.wait(60) == DOUBTED
    text = (out / "report.html").read_text()
    assert "the fabric stood still for 3." in text or "the fabric stood still for 2." in text
