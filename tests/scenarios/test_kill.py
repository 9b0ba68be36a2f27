"""A whole run that is killed leaves nothing behind, and runs do not meet each other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plan.events import JournalEvent, Phase, PhaseName, Served
from scenarios.running.outcome import DONE, DOUBTED
from tests.machine_state import differences, eventually, look
from tests.scenarios.commands import TINY, await_entry, started

pytestmark = pytest.mark.network

LONG = ("--set", "workload.turns.count=20", "--set", "workload.agents=64")
FAST = ("--set", "cluster.snic=400 Gbit/s", "--set", "scale.dilation=1", "--systems", "dualpath")
"""A hundred requests take a minute where one slow SNIC is what limits them."""


def at_once(entry: JournalEvent) -> bool:
    """The run begins: its directory is there, its sandbox is not."""
    return True


def phase(name: PhaseName) -> Callable[[JournalEvent], bool]:
    return lambda entry: isinstance(entry, Phase) and entry.phase == name


def served(done: int) -> Callable[[JournalEvent], bool]:
    return lambda entry: isinstance(entry, Served) and entry.done >= done


MOMENTS = {
    "it began": at_once,
    "it began to build the fabric": phase("fabric"),
    "it started its controller": phase("controller"),
    "it began to probe": phase("probes"),
    "it started the nodes": phase("nodes"),
    "it began to serve": phase("serving"),
    "the first request was done": served(1),
    "a hundred requests were done": served(100),
}


@pytest.mark.usefixtures("private_tmp")
@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_left_of_a_run_that_was_killed_after(moment: str) -> None:
    before = look()
    out = Path("/tmp/run")
    with started(TINY, out, *LONG, *FAST) as process:
        await_entry(process, out, MOMENTS[moment])
        process.kill()
        process.wait()
    # inside they die a moment later and write till then; what they wrote is the user's
    assert eventually(lambda: look().processes == before.processes, within_s=10)
    shutil.rmtree(out)
    assert eventually(lambda: look() == before, within_s=10), differences(before, look())


def test_two_runs_work_side_by_side(tmp_path: Path) -> None:
    # two on one machine: slower, so that each has the time it needs
    slow = ("--set", "scale.dilation=2", "--set", "workload.agents=12")
    options = ("--systems", "basic,dualpath", *slow)
    one, other = tmp_path / "one", tmp_path / "other"
    with started(TINY, one, *options) as first, started(TINY, other, *options) as second:
        assert first.wait(150) in (DONE, DOUBTED)
        assert second.wait(150) in (DONE, DOUBTED)
    for out in (one, other):
        for figures in json.loads((out / "summary.json").read_bytes())["systems"].values():
            judged = figures["fidelity"]
            assert figures["completed"] == figures["requests"]
            assert (judged["drops"], judged["blocks_corrupt"], judged["failed"]) == (0, 0, 0)
