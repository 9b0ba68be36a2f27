"""Claims: recorded times become gaps and starts as each format means them."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from plan.errors import TraceError
from plan.workload import Trajectory
from scenarios.workload.trace import Selection, load, window
from scenarios.workload.trace_formats import Format
from tests.scenarios.workload.test_trace import recorded


def loaded(tmp_path: Path, format: Format, *rows: dict[str, Any]) -> list[Trajectory]:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load(path, format)


def gaps(trajectory: Trajectory) -> list[float]:
    return [turn.gap_s for turn in trajectory.turns]


def test_calls_of_an_agent_run_are_as_far_apart_as_recorded(tmp_path: Path) -> None:
    call = {"out": 1, "reason": 0, "append": 10, "hit": 0}
    turns = [{**call, "in": 10 + 11 * i, "t": t} for i, t in enumerate((0, 4, 17, 17))]
    (agent,) = loaded(tmp_path, "mini-swe-agent", {"session": "s", "turns": turns})
    assert gaps(agent) == [0, 4, 13, 0]


def test_a_conversation_thinks_from_a_requests_end_and_else_from_its_start(tmp_path: Path) -> None:
    times = ((0.0, 5.0), (9.0, 3.0), (30.0, None), (26.0, None))
    turns = [
        {"t": t, "think": think, "in": 100 * i, "out": 1, "hit": 0, "par": -1}
        for i, (t, think) in enumerate(times, 1)
    ]
    (agent,) = loaded(tmp_path, "kv-cache-tester", {"session": "s", "turns": turns})
    assert gaps(agent) == [0, 3, 21, 0]


def test_a_subagent_begins_in_its_parents_time(tmp_path: Path) -> None:
    request = {"type": "n", "in": 10, "out": 1, "hash_ids": []}
    inner = {"type": "subagent", "agent_id": "b", "t": 2.0, "requests": [request]}
    outer = {
        "type": "subagent",
        "agent_id": "a",
        "t": 7.0,
        "requests": [{**request, "t": 0.0}, inner, {**request, "t": 9.0, "think_time": 4.5}],
    }
    rows = [{**request, "t": 0.0}, outer, {**request, "t": 20.0, "think_time": 12.0}]
    document = {"id": "c", "block_size": 64, "requests": rows}
    agents = {agent.name: agent for agent in loaded(tmp_path, "kv-cache-tester-raw", document)}
    assert {name: agent.start_s for name, agent in agents.items()} == {
        "c": 0,
        "c/a": 7,
        "c/a/b": 9,
    }
    assert gaps(agents["c/a"]) == [0, 4.5]
    assert gaps(agents["c"]) == [0, 12]


def test_a_session_of_requests_begins_with_its_first(tmp_path: Path) -> None:
    rows = [
        {"timestamp": ms, "input_length": 512 * len(ids), "output_length": 1, "hash_ids": ids}
        for ms, ids in ((500, [1]), (2000, [7]), (3500, [1, 2]), (9000, [7, 8]))
    ]
    first, second = loaded(tmp_path, "mooncake", *rows)
    assert (first.start_s, gaps(first)) == (0.5, [0, 3])
    assert (second.start_s, gaps(second)) == (2, [0, 7])


def test_cuts_and_windows_keep_the_times(tmp_path: Path) -> None:
    row = {"timestamp": 0, "input_length": 512, "output_length": 9, "hash_ids": [1]}
    rows = [{**row, "timestamp": 1000 + 500 * i, "input_length": 512 + i} for i in range(4)]
    rows = [{**one, "hash_ids": [1] if not i else [1, 9 + i]} for i, one in enumerate(rows)]
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cut = load(path, "mooncake", Selection(max_gen=4))[0]
    assert (cut.start_s, gaps(window(cut, 1, 1))) == (1, [0.5])


@pytest.mark.parametrize("time", [-1, "soon", 1e300])
def test_a_time_that_is_none_is_refused(tmp_path: Path, time: object) -> None:
    row = {"timestamp": time, "input_length": 1, "output_length": 1, "hash_ids": [1]}
    with pytest.raises(TraceError, match=r"\$.timestamp"):
        loaded(tmp_path, "mooncake", row)


# the recorded traces themselves


def test_recorded_calls_add_up_to_their_sessions_length() -> None:
    path = recorded("mini-swe-agent/lengths.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    for row, agent in zip(rows, load(path, "mini-swe-agent"), strict=True):
        assert sum(gaps(agent)) == row["turns"][-1]["t"] - row["turns"][0]["t"]


def test_recorded_thinking_is_what_a_call_leaves_of_the_time_to_the_next() -> None:
    path = recorded("kv-cache-tester/lengths.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    far = count = 0
    for row, agent in zip(rows, load(path, "kv-cache-tester"), strict=True):
        for (early, late), gap_s in zip(pairwise(row["turns"]), gaps(agent)[1:], strict=True):
            if early["api"] is not None:
                count += 1
                far += abs(late["t"] - early["t"] - early["api"] - gap_s) > 2
    assert count > 20_000
    assert far < count / 1000


def test_recorded_sessions_begin_within_their_trace() -> None:
    path = recorded("mooncake/synthetic_trace.jsonl.gz")
    lines = gzip.decompress(path.read_bytes()).splitlines()
    last_s = json.loads(lines[-1])["timestamp"] / 1000
    ends = [agent.start_s + sum(gaps(agent)) for agent in load(path, "mooncake")]
    assert max(ends) == pytest.approx(last_s)
