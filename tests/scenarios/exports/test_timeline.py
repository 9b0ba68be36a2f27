"""The timeline: well-formed trace events that say what the records and counters say."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plan.records import RequestRecord
from scenarios.exports import timeline
from scenarios.results.saved_run import SavedRun, SavedSystem, open_run
from tests.scenarios.saved import saved_run
from tests.scenarios.synthetic import STEP_S

Event = dict[str, Any]


def written(run: SavedRun, system: SavedSystem, place: Path) -> list[Event]:
    [path] = timeline.write(run, system, place)
    whole = json.loads(gzip.decompress(path.read_bytes()))
    events: list[Event] = whole["traceEvents"]
    return events


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    return open_run(saved_run(tmp_path_factory.mktemp("runs") / "one"))


@pytest.fixture(scope="module")
def events(run: SavedRun, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    return written(run, run.system("dualpath"), tmp_path_factory.mktemp("timeline"))


def names(events: list[Event], kind: str) -> dict[tuple[int, int], str]:
    return {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == kind}


def slices(events: list[Event]) -> dict[tuple[str, str], list[Event]]:
    """By process and track, in the order of the file."""
    processes = {pid: name for (pid, _), name in names(events, "process_name").items()}
    tracks = names(events, "thread_name")
    found: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            place = event["pid"], event["tid"]
            found[processes[event["pid"]], tracks[place]].append(event)
    return found


def test_every_event_has_what_the_format_asks_of_its_phase(events: list[Event]) -> None:
    needed = {
        "M": {"args"},
        "X": {"ts", "dur"},
        "C": {"ts", "args"},
        "s": {"ts", "id", "cat"},
        "t": {"ts", "id", "cat"},
        "f": {"ts", "id", "cat", "bp"},
    }
    for event in events:
        assert {"ph", "name", "pid", "tid"} | needed[event["ph"]] <= set(event)
        assert event.get("dur", 0) >= 0


def test_slices_of_a_track_nest_and_the_outer_one_comes_first(events: list[Event]) -> None:
    for track in slices(events).values():
        open_ends: list[int] = []
        for event in sorted(track, key=lambda e: e["ts"]):
            start = round(event["ts"] * 1e3)
            end = start + round(event["dur"] * 1e3)
            while open_ends and open_ends[-1] <= start:
                open_ends.pop()
            assert not open_ends or end <= open_ends[-1]
            open_ends.append(end)


def test_a_request_flows_from_its_turn_over_read_and_prefill_to_decode(
    run: SavedRun, events: list[Event]
) -> None:
    begins = {(e["pid"], e["tid"], e["ts"]) for e in events if e["ph"] == "X"}
    tracks = names(events, "thread_name")
    flows: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] in "stf":
            assert (event["pid"], event["tid"], event["ts"]) in begins
            flows[event["id"]].append(event)
    records = {record.request: record for record in run.system("dualpath").records}
    assert set(flows) == set(records)
    for request, steps in flows.items():
        assert [step["ph"] for step in steps] == ["s", "t", "t", "f"]
        places = [tracks[step["pid"], step["tid"]].partition(" ·")[0] for step in steps]
        record = records[request]
        assert places == [
            f"agent {record.agent}",
            "SNIC reads",
            f"{record.pe} prefill",
            f"{record.de} decode",
        ]


def test_each_side_reads_what_the_records_say(run: SavedRun, events: list[Event]) -> None:
    read = {"pe0": 0, "de0": 0}
    for (process, track), found in slices(events).items():
        if track.startswith("SNIC reads"):
            read[process] += len(found)
    paths = [record.path for record in run.system("dualpath").records]
    assert read == {"pe0": paths.count("pe"), "de0": paths.count("de")}


def test_parts_of_a_turn_fill_it(events: list[Event]) -> None:
    turns = [e for (process, _), e in slices(events).items() if process == "agents"]
    for track in turns:
        whole = sum(e["dur"] for e in track if e["name"].startswith("turn "))
        parts = sum(e["dur"] for e in track if not e["name"].startswith("turn "))
        assert parts == pytest.approx(whole)


def counters(events: list[Event], name: str) -> list[Event]:
    return [event for event in events if event["ph"] == "C" and event["name"] == name]


def test_a_counter_is_the_rate_until_the_next_reading(run: SavedRun, events: list[Event]) -> None:
    samples = run.system("dualpath").samples
    rates = counters(events, "pe0.snic")
    assert len(rates) == len(samples) - 1
    for event, early, late in zip(rates, samples, samples[1:], strict=False):
        read_bytes = late.nics["pe0.snic"][1] - early.nics["pe0.snic"][1]
        assert event["ts"] == pytest.approx(1e6 * early.t_s)
        assert event["args"]["in, Gbit/s"] == pytest.approx(8e-9 * read_bytes / STEP_S)


def test_the_buffer_is_as_full_as_the_node_says(run: SavedRun, tmp_path: Path) -> None:
    system = run.system("basic")
    system.stats[0].buffer = [(1.5, 3e9), (2.0, 0.0)]
    found = counters(written(run, system, tmp_path), "buffer")
    assert [(e["ts"], *e["args"].values()) for e in found] == [(1.5e6, 3.0), (2e6, 0.0)]


@pytest.mark.parametrize(
    ("change", "phases"),
    [
        # both sides read
        ({"path": "split"}, "stttf"),
        # neither does
        ({"path": "pool"}, "stf"),
        ({"path": None, "read_start_s": None, "read_end_s": None}, "stf"),
        ({"pe": None}, ""),
    ],
)
def test_a_request_s_way_is_as_long_as_it_was(
    run: SavedRun, tmp_path: Path, change: dict[str, Any], phases: str
) -> None:
    found = of_one(run, tmp_path, lambda record: msgspec.structs.replace(record, **change))
    assert "".join(e["ph"] for e in found if e["ph"] in "stf") == phases


def of_one(
    run: SavedRun, place: Path, changed: Callable[[RequestRecord], RequestRecord]
) -> list[Event]:
    system = run.system("dualpath")
    system.records[:] = [changed(system.records[0])]
    return written(run, system, place)


def test_the_same_run_is_the_same_bytes(run: SavedRun, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for place in (first, second):
        place.mkdir()
        timeline.write(run, run.system("basic"), place)
    name = timeline.FILE
    assert (first / name).read_bytes() == (second / name).read_bytes()
