"""A live page shows what a run has written so far, whatever it is doing to its files."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from plan.events import End, JournalEvent, Over, Phase, Run, Served
from plan.model import write_plan
from plan.records import RequestRecord
from scenarios.reports import gallery
from scenarios.reports.live import LiveRun, Tail, status
from scenarios.results.metrics import summarise
from scenarios.results.record_files import (
    backlog_path,
    counters_path,
    requests_path,
    write,
)
from tests.scenarios.synthetic import basic_and_dualpath

BEGUN = Run(t=0.0, scenario="quick <start>", engine="emulate", systems=("basic",))


def write_run(directory: Path, share: float) -> None:
    """A run of which so much is served."""
    plan, results = basic_and_dualpath()
    write_plan(plan, directory / "plan.json")
    entries: list[JournalEvent] = [BEGUN]
    for result in results:
        system = directory / "systems" / result.system.name
        system.mkdir(parents=True, exist_ok=True)
        for path, records in (
            (requests_path(system), result.records),
            (counters_path(system), result.samples),
            (backlog_path(system), result.backlog),
        ):
            write(path, records[: int(share * len(records))])
        entries.append(Served(t=1.0, system=result.system.name, done=3, total=40))
    write(directory / "journal.jsonl", entries)


def record(number: int) -> bytes:
    one = RequestRecord(
        request=number, agent=0, turn=0, prompt_tokens=1, gen_tokens=1, submit_s=0.0
    )
    return msgspec.json.encode(one) + b"\n"


def test_a_line_is_read_when_it_is_whole_and_once(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    tail = Tail[RequestRecord](path, RequestRecord)
    assert not tail.look()
    path.write_bytes(record(0) + record(1)[:9])
    assert tail.look()
    with path.open("ab") as file:
        file.write(record(1)[9:])
    assert tail.look()
    assert not tail.look()
    assert [one.request for one in tail.records] == [0, 1]


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    tail = Tail[RequestRecord](path, RequestRecord)
    path.write_bytes(record(0) + record(1))
    tail.look()
    path.write_bytes(record(7))
    assert tail.look()
    assert [one.request for one in tail.records] == [7]


def test_what_is_shown_grows_with_the_run(tmp_path: Path) -> None:
    run = LiveRun(tmp_path)
    assert "<!doctype html>" in run.page()
    assert json.loads(run.shown())["charts"] == {}
    ends = []
    for share in (0.4, 1.0):
        write_run(tmp_path, share)
        assert run.look()
        shown = json.loads(run.shown())
        assert {"snic_use", "token_times", "load"} <= set(shown["charts"])
        assert set(shown["fabric"]["loads"]) == set(shown["requests"]) == {"basic", "dualpath"}
        ends.append(max(shown["fabric"]["loads"]["basic"]["t"]))
    assert ends[0] < ends[1]
    assert not run.look()
    assert "quick &lt;start&gt;" in run.page()


def test_the_status_says_where_the_run_is() -> None:
    entries: list[JournalEvent] = [BEGUN, Phase(t=0, phase="nodes", system="basic")]
    assert status(entries) == "Basic: nodes."
    entries += [Served(t=0, system="basic", done=1200, total=None)]
    assert status(entries) == "Serving. Requests: basic: 1,200."
    entries += [Over(t=0, system="basic", done=1300, complete=True)]
    entries += [End(t=0, status=1, error="pe0: gone")]
    said = "The run has ended: pe0: gone. Requests: basic: 1,300 and done."
    assert status(entries) == said


def test_what_is_said_to_be_no_chart_is_none() -> None:
    plan, results = basic_and_dualpath()
    run = gallery.run_of(plan, results, summarise(plan, results))
    nothing_broke = {"faults"}
    assert set(gallery.charts_of(run)) == set(gallery.PICTURES) - gallery.IMAGES - nothing_broke
