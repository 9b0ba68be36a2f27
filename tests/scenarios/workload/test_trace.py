"""Traces: what a loader makes of each format, what it refuses, windows and extra agents."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.errors import TraceError
from plan.workload import Trajectory, Turn, steps
from scenarios.workload.trace import Selection, extend, load, window
from scenarios.workload.trace_formats import Format

CHECKOUT = Path(__file__).parents[3]
TRACES = ("traces", "../shared/traces")


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows).encode()))
    return path


def call(prompt: int, out: int, append: int, reason: int = 0) -> dict[str, int]:
    return {"t": 0, "in": prompt, "out": out, "append": append, "reason": reason}


def request(prompt: int, out: int, hit: int, par: int) -> dict[str, Any]:
    return {"t": 0.0, "in": prompt, "out": out, "hit": hit, "par": par, "think": None}


def prompts(trajectory: Trajectory) -> list[int]:
    return [step.prompt for step in steps(trajectory)]


# mini-swe-agent


def test_agent_runs_are_append_only_and_reasoning_leaves_the_context(tmp_path: Path) -> None:
    calls = [call(100, 30, 100, reason=10), call(170, 5, 50)]
    path = write_lines(tmp_path / "a.jsonl.gz", {"session": "s", "turns": calls})
    (trajectory,) = load(path, "mini-swe-agent")
    assert trajectory == Trajectory(name="s", turns=(Turn(100, 20), Turn(50, 5)))


def test_an_empty_append_still_gives_the_recorded_prompt(tmp_path: Path) -> None:
    calls = [call(100, 30, 100), call(125, 5, 0), call(140, 1, 10)]
    path = write_lines(tmp_path / "a.jsonl.gz", {"session": "s", "turns": calls})
    (trajectory,) = load(path, "mini-swe-agent")
    assert trajectory.turns[1] == Turn(1, 5, keep=124)
    assert prompts(trajectory) == [100, 125, 140]


def test_a_prompt_longer_than_context_and_append_is_refused(tmp_path: Path) -> None:
    calls = [call(100, 30, 100), call(200, 5, 10)]
    path = write_lines(tmp_path / "a.jsonl.gz", {"session": "s", "turns": calls})
    with pytest.raises(TraceError, match=r"a.jsonl.gz:1: append: 10 .*turns\[1\].append"):
        load(path, "mini-swe-agent")


# kv-cache-tester


def conversation(tmp_path: Path, *requests: dict[str, Any]) -> Trajectory:
    path = write_lines(tmp_path / "c.jsonl.gz", {"session": "c", "turns": list(requests)})
    (trajectory,) = load(path, "kv-cache-tester")
    assert prompts(trajectory) == [row["in"] for row in requests]
    return trajectory


def test_a_conversation_that_only_grows_keeps_its_generations(tmp_path: Path) -> None:
    grown = conversation(tmp_path, request(130, 20, 0, -1), request(200, 9, 128, 0))
    assert grown.turns == (Turn(130, 20), Turn(50, 9))


def test_a_rewritten_tail_keeps_the_hit_only(tmp_path: Path) -> None:
    rewritten = conversation(tmp_path, request(130, 20, 0, -1), request(140, 9, 64, 0))
    assert rewritten.turns[1] == Turn(76, 9, keep=64)


def test_a_reset_keeps_nothing(tmp_path: Path) -> None:
    reset = conversation(tmp_path, request(130, 20, 0, -1), request(500, 9, 0, -1))
    assert reset.turns[1] == Turn(500, 9, keep=0)


def test_a_branch_to_an_ancestor_keeps_its_prefix(tmp_path: Path) -> None:
    branched = conversation(
        tmp_path, request(130, 20, 0, -1), request(300, 9, 128, 0), request(200, 1, 64, 0)
    )
    assert branched.turns[2] == Turn(136, 1, keep=64)


def test_of_a_branch_that_was_left_only_the_shared_prefix_is_kept(tmp_path: Path) -> None:
    """Request 3 hits 256 tokens of request 1, but 2 forked off at 64."""
    branched = conversation(
        tmp_path,
        request(130, 20, 0, -1),
        request(300, 9, 128, 0),
        request(400, 1, 64, 0),
        request(350, 1, 256, 1),
    )
    assert branched.turns[3] == Turn(286, 1, keep=64)


def test_a_prompt_that_is_all_hit_still_appends_a_token(tmp_path: Path) -> None:
    same = conversation(tmp_path, request(128, 20, 0, -1), request(128, 9, 128, 0))
    assert same.turns[1] == Turn(1, 9, keep=127)


def raw(prompt: int, out: int, ids: list[int]) -> dict[str, Any]:
    return {"type": "n", "in": prompt, "out": out, "hash_ids": ids}


def test_raw_conversations_find_hits_and_give_subagents_a_trajectory(tmp_path: Path) -> None:
    subagent = {"type": "subagent", "agent_id": "a1", "requests": [raw(70, 3, [9])]}
    requests = [raw(130, 20, [1, 2]), subagent, raw(140, 9, [1, 3])]
    document = {"id": "c", "block_size": 64, "requests": requests}
    (tmp_path / "c.json").write_text(json.dumps(document))
    nested, outer = load(tmp_path, "kv-cache-tester-raw")
    assert nested == Trajectory(name="c/a1", turns=(Turn(70, 3),))
    assert outer.turns == (Turn(130, 20), Turn(76, 9, keep=64))


# mooncake


def test_mooncake_sessions_are_rebuilt_from_prefixes(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "m.jsonl",
        {"timestamp": 0, "input_length": 1100, "output_length": 4, "hash_ids": [0, 1, 2]},
        {"timestamp": 0, "input_length": 500, "output_length": 1, "hash_ids": [7]},
        {"timestamp": 9, "input_length": 1600, "output_length": 2, "hash_ids": [0, 1, 3, 4]},
        {"timestamp": 9, "input_length": 1030, "output_length": 2, "hash_ids": [0, 1, 8]},
        {"timestamp": 9, "input_length": 1100, "output_length": 2, "hash_ids": [0, 1, 2]},
    )
    first, second, third = load(path, "mooncake")
    assert first.turns == (Turn(1100, 4), Turn(496, 2, None, 0.009), Turn(6, 2, 1024))
    assert second.turns == (Turn(500, 1),)
    assert third.turns == (Turn(1100, 2),)  # its prefix was continued by another already


# refusals, for every format

MALFORMED: list[tuple[Format, Any, str]] = [
    ("mini-swe-agent", {"session": "s", "turns": [{"in": 1}]}, r"`out` - at `\$.turns"),
    ("mini-swe-agent", {"session": "s", "turns": [call(5, -1, 5)]}, r"turns\[0\].out"),
    ("kv-cache-tester", {"session": "s", "turns": [request(5, 1, 9, -1)]}, r"turns\[0\].hit"),
    ("kv-cache-tester", {"session": "s", "turns": [request(5, 1, 0, 0)]}, r"turns\[0\].par"),
    ("kv-cache-tester", {"session": 3, "turns": []}, r"\$.session"),
    ("kv-cache-tester-raw", {"id": "c", "block_size": 32, "requests": []}, r"\$.block_size"),
    (
        "kv-cache-tester-raw",
        {"id": "c", "block_size": 64, "requests": [raw(64, 1, [1, 2])]},
        "hash_ids: 2 blocks",
    ),
    (
        "mooncake",
        {"timestamp": 0, "input_length": 513, "output_length": 1, "hash_ids": [1]},
        r"\$.hash_ids",
    ),
    ("mooncake", {"input_length": "many"}, r"\$.input_length"),
]


@pytest.mark.parametrize(("format", "row", "field"), MALFORMED)
def test_a_malformed_row_is_refused_by_file_and_field(
    tmp_path: Path, format: Format, row: Any, field: str
) -> None:
    path = write_lines(tmp_path / "bad.gz", row)
    with pytest.raises(TraceError, match=f"bad.gz.*{field}"):
        load(path, format)


def test_the_malformed_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    good = {"input_length": 1, "output_length": 1, "hash_ids": [1]}
    path.write_text(f"{json.dumps(good)}\n{{oops\n")
    with pytest.raises(TraceError, match=r"bad.jsonl:2: "):
        load(path, "mooncake")


CUT_SHORT = gzip.compress(b"{}" * 99, mtime=0)[:-9]


@pytest.mark.parametrize("content", [b"\x1f\x8bnot gzip", CUT_SHORT], ids=["no gzip", "cut short"])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.gz"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=r"broken\.gz"):
        load(path, "mooncake")


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="nowhere"):
        load(tmp_path / "nowhere", "mooncake")
    with pytest.raises(TraceError, match=r"no \*.json"):
        load(tmp_path, "kv-cache-tester-raw")


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'vllm'; use one of mini-swe-agent"):
        load(tmp_path, "vllm")  # type: ignore[arg-type]


# selection


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    turns: list[Turn] = []
    context = 0
    for _ in range(draw(st.integers(1, 12))):
        append, gen = draw(st.integers(1, 300)), draw(st.integers(1, 300))
        keep = draw(st.none() | st.integers(0, context))
        turns.append(Turn(append, gen, keep))
        context = (context if keep is None else keep) + append + gen
    return Trajectory(name="t", turns=tuple(turns))


def saved(tmp_path: Path) -> Path:
    calls = [call(100, 900, 100), call(1050, 10, 50), call(1070, 5, 10)]
    return write_lines(tmp_path / "a.jsonl.gz", {"session": "s", "turns": calls})


def test_runaway_generations_are_capped_and_appends_stay(tmp_path: Path) -> None:
    (trajectory,) = load(saved(tmp_path), "mini-swe-agent", Selection(max_gen=40))
    assert trajectory.turns == (Turn(100, 40), Turn(50, 10), Turn(10, 5))


def test_a_capped_generation_moves_what_later_turns_keep(tmp_path: Path) -> None:
    calls = [call(100, 900, 100), call(990, 10, 40), call(995, 1, 0), call(125, 1, 5)]
    path = write_lines(tmp_path / "a.jsonl.gz", {"session": "s", "turns": calls})
    (trajectory,) = load(path, "mini-swe-agent", Selection(max_gen=40))
    assert [turn.keep for turn in trajectory.turns] == [None, 140, 184, 120]


def test_turns_and_context_are_limited_and_short_trajectories_dropped(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert len(load(path, "mini-swe-agent", Selection(max_turns=2))[0].turns) == 2
    assert len(load(path, "mini-swe-agent", Selection(max_context=1060))[0].turns) == 2
    assert load(path, "mini-swe-agent", Selection(min_turns=3))
    assert load(path, "mini-swe-agent", Selection(max_context=1060, min_turns=3)) == []


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_gen must be >= 1, not 0"):
        Selection(max_gen=0)


# windows and extra agents


@given(trajectory=trajectories(), data=st.data())
def test_a_window_replays_the_same_steps(trajectory: Trajectory, data: st.DataObject) -> None:
    turns = len(trajectory.turns)
    skip = data.draw(st.integers(0, turns - 1))
    count = data.draw(st.integers(1, turns - skip))
    assert (
        list(steps(window(trajectory, skip, count))) == list(steps(trajectory))[skip : skip + count]
    )


@pytest.mark.parametrize(("skip", "count"), [(-1, 1), (0, 0), (0, 3), (2, 1)])
def test_a_window_outside_the_trajectory_is_refused(skip: int, count: int) -> None:
    with pytest.raises(ValueError, match="has 2 turns"):
        window(Trajectory(name="t", turns=(Turn(1, 1), Turn(1, 1))), skip, count)


@given(trajectory=trajectories(), first_tokens=st.integers(1, 500))
def test_an_extra_agent_replays_its_sample_behind_a_synthetic_round(
    trajectory: Trajectory, first_tokens: int
) -> None:
    original, extra = extend([trajectory], 2, 1, first_tokens)
    assert original == trajectory
    assert extra.turns[0] == Turn(first_tokens, 1)
    behind = list(steps(extra))[1:]
    assert [(turn.append, turn.gen) for turn in extra.turns[1:]] == [
        (turn.append, turn.gen) for turn in trajectory.turns
    ]
    for ours, theirs in zip(behind, steps(trajectory), strict=True):
        assert ours.prompt - theirs.prompt in (0, first_tokens + 1)
    if all(turn.keep != 0 for turn in trajectory.turns[1:]):
        assert behind[-1].prompt - list(steps(trajectory))[-1].prompt == first_tokens + 1


def test_more_extra_agents_begin_with_the_same_ones() -> None:
    base = [Trajectory(name=name, turns=(Turn(i, i),)) for i, name in enumerate("abcdef", 1)]
    few, many = (extend(base, n, 7, 100) for n in (12, 40))
    assert many[:12] == few
    assert len(set(many)) == 40
    assert extend(base, 12, 8, 100) != few
    assert extend(base, 4, 7, 100) == base[:4]


def test_the_synthetic_round_of_what_starts_in_storage_is_stored_with_it() -> None:
    preloaded = Trajectory(name="t", turns=(Turn(1, 1), Turn(2, 1, 3)), preloaded=5)
    first, extra = extend([preloaded], 2, 0, 10)
    assert first == preloaded
    assert extra.preloaded == 5 + 11
    assert extra.turns == (Turn(1, 1), Turn(2, 1, 3 + 11))


def test_extending_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="none to make 2 agents from"):
        extend([], 2, 0, 10)


def test_keeping_more_than_the_context_is_refused() -> None:
    bad = Trajectory(name="t", turns=(Turn(5, 5), Turn(1, 1, keep=11)))
    with pytest.raises(ValueError, match="turn 1 of t keeps 11 tokens of a context of 10"):
        list(steps(bad))


# the recorded traces themselves


def recorded(path: str) -> Path:
    """A trace, in a folder where whoever runs the tests has put it."""
    places = [f"{folder}/{path}" for folder in TRACES]
    for place in places:
        if (CHECKOUT / place).exists():
            return CHECKOUT / place
    pytest.skip(f"recorded traces are not part of the project: no {' or '.join(places)}")


def recorded_prompts(path: Path, key: str) -> list[list[int]]:
    rows = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
    return [[turn[key] for turn in row["turns"]] for row in rows]


@pytest.mark.parametrize("format", ["mini-swe-agent", "kv-cache-tester"])
def test_recorded_prompts_are_reproduced_to_the_token(format: Format) -> None:
    path = recorded(f"{format}/lengths.jsonl.gz")
    loaded = load(path, format)
    assert [prompts(trajectory) for trajectory in loaded] == recorded_prompts(path, "in")
    turns = [turn for trajectory in loaded for turn in trajectory.turns]
    assert min(min(turn.append, turn.gen) for turn in turns) == 1


def test_hits_of_recorded_conversations_are_those_the_cache_saw() -> None:
    """But for what is lost on returning to a branch that was left, and block rounding."""
    path = recorded("kv-cache-tester/lengths.jsonl.gz")
    ours = sum(step.hit for t in load(path, "kv-cache-tester") for step in steps(t))
    recorded_hits = sum(map(sum, recorded_prompts(path, "hit")))
    assert ours == pytest.approx(recorded_hits, rel=5e-3)


def test_raw_conversations_agree_with_their_recorded_lengths() -> None:
    folder = recorded("kv-cache-tester/raw").parent
    lengths = {t.name: t for t in load(folder / "lengths.jsonl.gz", "kv-cache-tester")}
    outer = [t for t in load(folder / "raw", "kv-cache-tester-raw") if "/" not in t.name]
    assert len(outer) == 50
    assert all(trajectory == lengths[trajectory.name] for trajectory in outer)


def test_mooncake_sessions_hold_every_request_once() -> None:
    path = recorded("mooncake/synthetic_trace.jsonl.gz")
    sessions = load(path, "mooncake")
    lengths = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert sorted(prompt for session in sessions for prompt in prompts(session)) == sorted(
        row["input_length"] for row in lengths
    )
    assert 1.4 < len(lengths) / len(sessions) < 1.9
