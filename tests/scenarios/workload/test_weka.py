"""Claims: what agents of a recorded conversation, and conversations, have of each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plan.workload import Turn
from scenarios.workload.trace import alone, load
from scenarios.workload.weka import read_weka


def call(prompt: int, ids: list[int] | None, t: float = 0.0) -> dict[str, Any]:
    hashed = {} if ids is None else {"hash_ids": ids}
    return {"type": "s", "t": t, "in": prompt, "out": 10, **hashed}


def conversation(name: str, *requests: dict[str, Any], **others: int) -> dict[str, Any]:
    return {"id": name, "block_size": 64, "requests": requests, **others}


def write(path: Path, *conversations: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in conversations))
    return path


def subagent(name: str, *requests: dict[str, Any], t: float = 0.0) -> dict[str, Any]:
    return {"type": "subagent", "agent_id": name, "t": t, "requests": requests}


def test_a_subagent_shares_what_its_parent_and_siblings_held_before(tmp_path: Path) -> None:
    path = write(
        tmp_path / "trace.jsonl",
        conversation(
            "c",
            call(130, [1, 2]),
            subagent("one", call(256, [1, 2, 5, 6]), call(300, [1, 2, 5, 6])),
            call(192, [1, 2, 3]),
            subagent("two", call(256, [1, 2, 5, 8])),
        ),
    )
    one, two, parent = read_weka(path)
    assert (one.name, one.preloaded) == ("c/one", 128)
    assert one.turns == (Turn(128, 10), Turn(34, 10))
    assert (two.name, two.preloaded) == ("c/two", 192)
    assert parent.preloaded == 0


def test_hits_stay_within_a_trajectory_unless_asked_for(tmp_path: Path) -> None:
    path = write(
        tmp_path / "trace.jsonl",
        conversation("c", call(128, [1, 2]), subagent("a", call(256, [1, 2, 5, 6]))),
    )
    assert [agent.preloaded for agent in load(path, "weka")] == [0, 0]
    assert [agent.preloaded for agent in load(path, "weka", shared=True)] == [128, 0]
    assert load(path, "weka") == [alone(agent) for agent in read_weka(path)]


def test_conversations_of_one_system_prompt_share_it(tmp_path: Path) -> None:
    head = {"tool_tokens": 100, "system_tokens": 60}
    path = write(
        tmp_path / "trace.jsonl",
        conversation("first", call(640, [1]), **head),
        conversation("same", call(640, [1]), **head),
        conversation("other", call(640, [1]), tool_tokens=100, system_tokens=61),
    )
    assert [agent.preloaded for agent in read_weka(path)] == [0, 128, 0]


def test_without_block_ids_an_agent_goes_on_from_its_last_request(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", conversation("c", call(100, None), call(150, None)))
    (agent,) = read_weka(path)
    assert agent.turns == (Turn(100, 10), Turn(40, 10))
