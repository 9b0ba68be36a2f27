"""Claims: the report says what faults did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.run import main

TINY = str(Path(__file__).parents[1] / "tiny.yaml")
FAULTS = (
    "faults=[{at: 1 s, back: 2 s, kind: kill, target: de0}, {at: 90 %, kind: down, target: se0}]"
)


@pytest.mark.slow
def test_a_run_s_page_tells_each_fault_service_around_them_and_attempts(tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked = [TINY, "--engine", "simulate", "--systems", "dualpath", "--set", FAULTS]
    assert main([*asked, "--set", "workload.agents=8", "--out", str(out)]) == 0
    page = (out / "report.html").read_text()
    for expected in (
        "<h2>Faults</h2>",
        "<h2>Faults under DualPath</h2>",
        "<td>kill de0</td>",
        "<td>DualPath, during</td>",
        "at attempt 2",
        "computed though they had been stored",
        "reads at 95 % after, s",
        "Service while things break",
    ):
        assert expected in page, expected
    place = out / "systems" / "dualpath"
    events = [json.loads(line) for line in (place / "faults.jsonl").read_text().splitlines()]
    assert events[0]["what"] == "injected"
    assert (place / "attempts.jsonl").read_text()
    journal = (out / "journal.jsonl").read_text()
    assert '"event":"faulted"' in journal
