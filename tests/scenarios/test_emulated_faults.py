"""A fabric and nodes that break while they serve: all is served all the same, and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plan.faults import FaultEvent
from scenarios import run
from scenarios.results.record_files import faults_path, read
from tests.scenarios.commands import TINY

pytestmark = pytest.mark.network

FAULTS = """[
  {at: 300 ms, back: 300 ms, kind: kill, target: sched},
  {at: 1 s, for: 2 s, kind: slow, target: pe0.snic, to: 20 %},
  {at: 1 s, for: 3 s, kind: loss, target: de0.snic, share: 1 %},
  {at: 1 s, for: 1 s, kind: down, target: ce0-ca0},
  {at: 2 s, back: 4 s, kind: kill, target: pe1},
  {at: 3 s, for: 1 s, kind: pause, target: controller},
  {at: 4 s, back: 4 s, kind: power_off, target: de1},
  {at: 5 s, kind: corrupt, target: st0, blocks: 10 %},
  {at: 6 s, for: 1 s, kind: disk_full, target: st0},
  {at: 5 s, back: 1 s, kind: kill, target: controller},
  {at: 8 s, back: 1 s, kind: kill, target: st0}
]"""


def test_whatever_breaks_all_requests_are_served_and_no_wrong_block_is_used(
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    options = ["cluster.prefill=2", "cluster.decode=2", "scale.dilation=1", f"faults={FAULTS}"]
    options += ["recovery.attempts=10"]  # so many that it is not for them that a request fails
    overrides = [argument for option in options for argument in ("--set", option)]
    assert run.main([str(TINY), "--out", str(out), "--systems", "dualpath", *overrides]) in (0, 4)
    figures = json.loads((out / "summary.json").read_bytes())["systems"]["dualpath"]
    assert figures["completed"] == figures["requests"]
    assert figures["fidelity"]["blocks_corrupt"] == 0
    told = read(faults_path(out / "systems/dualpath"), FaultEvent)
    happened = {(event.what, event.kind, event.target) for event in told}
    for kind, target in (("slow", "pe0.snic"), ("loss", "de0.snic"), ("down", "ce0-ca0")):
        assert {("injected", kind, target), ("healed", kind, target)} <= happened
    assert ("recovered", "down", "ce0-ca0") in happened
    assert ("injected", "corrupt", "st0") in happened
    assert ("healed", "disk_full", "st0") in happened
    for kind, target in (("kill", "controller"), ("node", "sched")):
        assert ("recovered", kind, target) in happened
    for node in ("pe1", "de1", "st0"):
        assert ("detected", "node", node) in happened
        assert ("recovered", "node", node) in happened
