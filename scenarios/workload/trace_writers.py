"""Trajectories as traces that other tools read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import msgspec

from plan.workload import Trajectory
from scenarios.workload.turn_rows import COLUMNS, turn_rows

Lines = Iterator[str]
_MOONCAKE_BLOCK = 512
_WEKA_BLOCK = 64
_NO_STEM = -1


def write_csv(trajectories: Iterable[Trajectory]) -> Lines:
    """(agent, time, cached, append, gen), with a heading; `turns` reads it."""
    yield _csv_line(COLUMNS)
    for row in turn_rows(trajectories):
        yield _csv_line(msgspec.structs.astuple(row))


def write_jsonl(trajectories: Iterable[Trajectory]) -> Lines:
    """The same as JSON lines."""
    for row in turn_rows(trajectories):
        yield _json_line(row)


def write_mooncake(trajectories: Iterable[Trajectory]) -> Lines:
    """Mooncake's rows with `session_id` and `delay`, as Dynamo and AIPerf read them: whole
    prompts, blocks of 512 tokens."""
    ids = _Ids(_MOONCAKE_BLOCK)
    for trajectory in trajectories:
        rows = zip(turn_rows([trajectory]), ids.of(trajectory), trajectory.turns, strict=True)
        for index, (row, hash_ids, turn) in enumerate(rows):
            time = {"delay": turn.gap_s * 1000} if index else {"timestamp": row.time * 1000}
            yield _json_line(
                {
                    "session_id": row.agent,
                    **time,
                    "input_length": row.cached + row.append,
                    "output_length": row.gen,
                    "hash_ids": hash_ids,
                }
            )


def write_weka(trajectories: Iterable[Trajectory]) -> Lines:
    """A conversation a line, as kv-cache-tester records them, blocks of 64 tokens. Starts have no
    place in it, and an agent with a prefix of others' has it for its own."""
    for trajectory in trajectories:
        requests = [
            {
                "type": "n",
                "t": row.time,
                "in": row.cached + row.append,
                "out": row.gen,
                "hash_ids": hash_ids[: (row.cached + row.append) // _WEKA_BLOCK],
                "think_time": turn.gap_s,
            }
            for row, hash_ids, turn in zip(
                turn_rows([trajectory]),
                _Ids(_WEKA_BLOCK).of(trajectory),
                trajectory.turns,
                strict=True,
            )
        ]
        conversation = {"id": trajectory.name, "block_size": _WEKA_BLOCK, "requests": requests}
        yield _json_line(conversation)


Writer = Callable[[Iterable[Trajectory]], Lines]
WRITERS: dict[str, Writer] = {
    "turns.csv": write_csv,
    "turns.jsonl": write_jsonl,
    "mooncake.jsonl": write_mooncake,
    "weka.jsonl": write_weka,
}
"""A file's name, which says its format -> what writes it."""


class _Ids:
    """Block ids of prompts: a block that is the same as before keeps its id, those of stems are
    the same for all who have them, and all others are new. What a trajectory has from others
    without a stem is one prefix for all."""

    def __init__(self, block: int) -> None:
        self._block = block
        self._next = count(1)
        self._of_stems: dict[tuple[int, int], int] = {}

    def of(self, trajectory: Trajectory) -> Iterator[list[int]]:
        """Of each prompt, the last block perhaps partly filled."""
        held = trajectory.preloaded // self._block
        common = self._common(trajectory, held)
        ids = common[:held]
        for row, turn in zip(turn_rows([trajectory]), trajectory.turns, strict=True):
            prompt, cached = row.cached + row.append, row.cached // self._block
            ids = ids[:cached]
            if turn.keep is not None:
                common = common[:cached]  # what comes behind what it kept is its own
            ids += common[len(ids) : prompt // self._block]
            ids += [next(self._next) for _ in range(-(-prompt // self._block) - len(ids))]
            yield ids
            # what is generated fills blocks whose ids the next prompt is the first to tell
            ids = ids[: prompt // self._block]

    def _common(self, trajectory: Trajectory, held: int) -> list[int]:
        """Of the blocks that others have, and so many at least."""
        stems: list[int] = []
        for stem, end in trajectory.stems:
            stems += [stem] * (end // self._block - len(stems))
        stems += [_NO_STEM] * (held - len(stems))
        for place in enumerate(stems):
            if place not in self._of_stems:
                self._of_stems[place] = next(self._next)
        return [self._of_stems[place] for place in enumerate(stems)]


def _csv_line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _json_line(row: object) -> str:
    return msgspec.json.encode(row).decode() + "\n"
