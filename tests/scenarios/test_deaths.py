"""A process of an emulated run that dies is named, and costs no result that was there."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from plan.events import JournalEvent, Served
from scenarios.running.outcome import FAILED
from tests.scenarios.commands import TINY, await_entry, process_of, started

pytestmark = [pytest.mark.network, pytest.mark.timeout(200)]


def _dualpath_is_served(entry: JournalEvent) -> bool:
    return isinstance(entry, Served) and entry.system == "dualpath" and entry.done > 0


@pytest.mark.parametrize(
    ("victim", "program", "log"),
    [
        ("de0", "nodes.main", "systems/dualpath/de0.log"),
        ("controller", "controller.launcher", "controller.log"),
        ("ovs-vswitchd", "ovs-vswitchd", "ovs-vswitchd.log"),
    ],
)
def test_what_dies_while_the_second_system_is_served_is_named_and_the_first_is_reported(
    victim: str, program: str, log: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with started(TINY, out, "--systems", "oracle,dualpath") as process:
        await_entry(process, out, _dualpath_is_served)
        os.kill(process_of(process.pid, program, victim), signal.SIGKILL)
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(60) == FAILED
    assert "Traceback" not in said
    [line] = [line for line in said.splitlines() if line.startswith("error: ")]
    died = f"dualpath: {victim} was killed by SIGKILL (out of memory?); see {out / log}"
    # what befell the fabric meanwhile may stand behind it
    assert line.removeprefix(f"error: {died}").partition(" ")[0] in ("", ";")
    assert (out / log).exists()
    summary = json.loads((out / "summary.json").read_bytes())
    assert (list(summary["systems"]), summary["unserved"]) == (["oracle"], ["dualpath"])
    first = summary["systems"]["oracle"]
    assert first["fidelity"]["complete"]
    assert first["completed"] == first["requests"]
    assert line == f"error: {summary['error']}"
    assert died in (out / "report.html").read_text()
