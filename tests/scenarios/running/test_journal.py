"""Claims about the journal of a run, and what a run leaves on disk while it goes on."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import msgspec
import pytest

from plan.arrivals import Arrivals
from plan.end import End
from plan.events import JournalEvent, Over, Phase, Served
from plan.records import CounterSample, RequestRecord
from scenarios.configuration.systems import SYSTEMS
from scenarios.results.record_files import counters_path, read, requests_path
from scenarios.running import simulation
from scenarios.running.journal import JOURNAL, Journal
from tests.nodes.plans import agent, make_plan

PLAN = make_plan([agent((610, 30), (100, 20)) for _ in range(6)])


def entries(directory: Path) -> list[JournalEvent]:
    text = (directory / JOURNAL).read_bytes()
    return msgspec.json.Decoder(JournalEvent).decode_lines(text)


def test_an_entry_is_on_disk_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with Journal(tmp_path / JOURNAL) as journal:
        journal.phase("fabric")
        (entry,) = entries(tmp_path)
        assert isinstance(entry, Phase)
        assert (entry.phase, entry.system) == ("fabric", None)


def test_every_entry_has_its_type_and_its_time(tmp_path: Path) -> None:
    before = time.time()
    with Journal(tmp_path / JOURNAL) as journal:
        journal.begins("tiny", "simulate", ["basic"])
        journal.phase("serving", "basic")
        journal.served("basic", 3, 12)
        journal.befell("switch ce0 lost its controller")
        journal.over("basic", 12, complete=True)
        journal.ends(0, None)
    names = [type(entry).__name__ for entry in entries(tmp_path)]
    assert names == ["Run", "Phase", "Served", "Incident", "Over", "End"]
    assert all(before <= entry.t <= time.time() for entry in entries(tmp_path))


def test_what_is_served_is_told_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(1e9, 0.25)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    with Journal(tmp_path / JOURNAL) as journal:
        for done in range(9):
            journal.served("basic", done, 12)
    assert [e.done for e in entries(tmp_path) if isinstance(e, Served)] == [0, 4, 8]


def test_a_journal_is_written_on_where_it_stands(tmp_path: Path) -> None:
    for system in ("basic", "dualpath"):
        with Journal(tmp_path / JOURNAL) as journal:
            journal.over(system, 12, complete=True)
    assert [e.system for e in entries(tmp_path) if isinstance(e, Over)] == ["basic", "dualpath"]


def test_a_simulated_run_leaves_its_records_so_far_whenever_it_is_killed(tmp_path: Path) -> None:
    """What is on disk at each look is what a kill there would leave."""
    left: list[int] = []
    told: list[int] = []

    def look(done: int, _use: object, _at_s: float) -> None:
        told.append(done)
        left.append(len(read(requests_path(tmp_path), RequestRecord)))
        assert len(read(counters_path(tmp_path), CounterSample)) == len(told)

    with Journal(tmp_path / JOURNAL) as journal:
        simulation.serve(PLAN, SYSTEMS["dualpath"], 0.01, tmp_path, journal, look)
    assert left == told
    assert 0 < len({count for count in left if count}) < len(left)


def test_a_simulated_result_is_what_its_files_hold(tmp_path: Path) -> None:
    with Journal(tmp_path / JOURNAL) as journal:
        result = simulation.serve(PLAN, SYSTEMS["basic"], 0.1, tmp_path, journal, lambda *_: None)
    assert len(result.records) == PLAN.requests
    assert read(requests_path(tmp_path), RequestRecord) == result.records
    assert read(counters_path(tmp_path), CounterSample) == result.samples


def test_counters_that_are_read_when_the_run_ends_stand_there_once(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(
        PLAN, arrivals=Arrivals(rates=((0.0, 5.0),)), end=End(after_s=2.0)
    )
    with Journal(tmp_path / JOURNAL) as journal:
        result = simulation.serve(plan, SYSTEMS["basic"], 0.5, tmp_path, journal, lambda *_: None)
    assert [sample.t_s for sample in result.samples] == [0, 0.5, 1, 1.5, 2]
