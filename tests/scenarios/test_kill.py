"""A whole run that is killed leaves nothing behind, and runs do not meet each other."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from scenarios.running.outcome import DONE, DOUBTED
from tests.machine_state import eventually, look
from tests.scenarios.commands import TINY, started

pytestmark = pytest.mark.network

LONG = ("--set", "workload.turns.count=20", "--set", "workload.agents=400")
CHANCE = random.Random(2602)
MOMENTS_S = [round(CHANCE.uniform(0.1, 10.0), 2) for _ in range(10)]
"""From the imports over the building of the fabric to the middle of serving."""


@pytest.mark.usefixtures("private_tmp")
@pytest.mark.parametrize("moment_s", MOMENTS_S)
def test_nothing_is_left_of_a_run_that_was_killed_after(moment_s: float) -> None:
    before = look()
    out = Path("/tmp/run")
    with started(TINY, out, *LONG) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(moment_s)
        process.kill()
        process.wait()
    shutil.rmtree(out, ignore_errors=True)  # its results are the user's
    assert eventually(lambda: look() == before, within_s=10), look()


def test_two_runs_work_side_by_side(tmp_path: Path) -> None:
    # two on one machine: slower, so that each has the time it needs
    options = ("--systems", "basic,dualpath", "--set", "scale.dilation=2")
    one, other = tmp_path / "one", tmp_path / "other"
    with started(TINY, one, *options) as first, started(TINY, other, *options) as second:
        assert first.wait(150) in (DONE, DOUBTED)
        assert second.wait(150) in (DONE, DOUBTED)
    for out in (one, other):
        for figures in json.loads((out / "summary.json").read_bytes())["systems"].values():
            judged = figures["fidelity"]
            assert figures["completed"] == figures["requests"]
            assert (judged["drops"], judged["blocks_corrupt"], judged["failed"]) == (0, 0, 0)
