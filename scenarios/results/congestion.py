"""How evenly work, waiting and queues are spread: over engines, egresses and lanes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from plan.durations import Durations, together
from plan.fabric import SIDES, Side
from plan.model import Plan
from plan.records import BacklogSample, ForwardRecord, NodeStats, RequestRecord
from scenarios.results.windows import Series

FIRST = 0.05
"""The share of a run over which the paper gives its attention balance (section 7, Fig 14)."""


class Collectives(msgspec.Struct, frozen=True, kw_only=True):
    """The collectives of all engines. Times in model seconds.

    Attributes:
        wire_s: what their bytes take at the rate of idle CNICs, summed.
        delay_s: what a collective took beyond that, on average: latency, and waiting for
            other traffic. It compares systems whose collectives differ in number and size.
    """

    count: int
    mean_s: float
    p50_s: float
    p99_s: float
    total_s: float
    wire_s: float
    delay_s: float


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in a lane's queues, over all egresses, model bytes."""

    mean_bytes: float
    largest_bytes: float


def collectives(stats: Sequence[NodeStats]) -> Collectives | None:
    """The collectives of all nodes; None if there were none."""
    taken = durations(stats)
    if not taken.count:
        return None
    wire_s = sum(node.collectives_wire_s for node in stats)
    return Collectives(
        count=taken.count,
        mean_s=taken.total_s / taken.count,
        p50_s=taken.quantile_s(0.5),
        p99_s=taken.quantile_s(0.99),
        total_s=taken.total_s,
        wire_s=wire_s,
        delay_s=(taken.total_s - wire_s) / taken.count,
    )


def durations(stats: Sequence[NodeStats]) -> Durations:
    """How long each collective of any engine took."""
    return together(node.collectives_s for node in stats)


def forwards(stats: Sequence[NodeStats]) -> list[ForwardRecord]:
    """Forward passes of all expert-parallel prefill groups, in time order."""
    found = [forward for node in stats for forward in node.forwards]
    return sorted(found, key=lambda forward: forward.t_s)


def attention_max_over_avg(passes: Iterable[ForwardRecord]) -> float | None:
    """Longest over average attention time of a forward's engines (paper section 7, Fig 14).

    Mean over forwards, each weighted by its tokens and average attention time. Engines
    without work take no part in a forward, nor in its average. None without forwards.
    """
    rows = [(f.attention_max_s, f.attention_mean_s, f.tokens) for f in passes]
    longest, mean, tokens = np.array(rows).T if rows else np.zeros((3, 0))
    weight = float(tokens @ mean)
    return float(tokens @ longest) / weight if weight else None


def engines_a_forward(passes: Sequence[ForwardRecord]) -> float | None:
    """Mean number of engines that took part in a forward; None without forwards."""
    count = sum(one.passes for one in passes)
    return sum(one.engines for one in passes) / count if count else None


def bubble_share(plan: Plan, stats: Sequence[NodeStats], jct_s: float | None) -> dict[str, float]:
    """By side, the share of its engines' time that was spent waiting at the expert-parallel
    barrier; a side without one is left out."""
    if not jct_s:
        return {}
    waited = {node.node: node.bubble_s for node in stats}
    shares: dict[str, float] = {}
    for side in SIDES:
        nodes = plan.fabric.nodes_of(side)
        engines = sum(node.gpus for node in nodes)
        if bubble_s := sum(waited.get(node.name, 0.0) for node in nodes):
            shares[side] = bubble_s / (engines * jct_s)
    return shares


def engines(plan: Plan, side: Side) -> list[str]:
    """All engines of a side, in order."""
    return [engine for node in plan.fabric.nodes_of(side) for engine in node.engines]


def unfinished_tokens(
    plan: Plan, records: Sequence[RequestRecord], side: Side, edges_s: Series
) -> Series:
    """Mean unfinished tokens of each engine in each window: tok_e of paper section 4.

    Args:
        edges_s: limits of the windows, model seconds.

    Returns:
        One row an engine (`engines`), one column a window. A prefill engine has a request's
        prompt from its assignment to its first token, a decode engine prompt and generation
        until it is done.
    """
    places = {name: place for place, name in enumerate(engines(plan, side))}
    spans: list[list[tuple[float, float, int]]] = [[] for _ in places]
    for record in records:
        end_s = record.first_s if side == "prefill" else record.done_s
        engine = record.pe if side == "prefill" else record.de
        if record.assigned_s is None or end_s is None or engine is None:
            continue
        tokens = record.prompt_tokens + (record.gen_tokens if side == "decode" else 0)
        spans[places[engine]].append((record.assigned_s, end_s, tokens))
    return np.stack([_mean_level(rows, edges_s) for rows in spans])


def backlog(samples: Sequence[BacklogSample], lanes: Iterable[str]) -> dict[str, Backlog]:
    """By lane, what waited over all egresses; empty without samples."""
    if not samples:
        return {}
    waiting = {lane: lane_backlog(samples, lane) for lane in lanes}
    return {
        lane: Backlog(mean_bytes=float(sizes.mean()), largest_bytes=float(sizes.max()))
        for lane, sizes in waiting.items()
    }


def lane_backlog(samples: Sequence[BacklogSample], lane: str) -> Series:
    """Bytes of a lane that wait over all egresses, sample by sample."""
    return np.array(
        [sum(lanes.get(lane, 0.0) for lanes in s.queues.values()) for s in samples], dtype=float
    )


def egress_backlog(samples: Sequence[BacklogSample]) -> dict[str, Series]:
    """Bytes of all lanes that wait at each egress that ever had a queue, sample by sample."""
    names = dict.fromkeys(name for sample in samples for name in sample.queues)
    return {
        name: np.array([sum(s.queues.get(name, {}).values()) for s in samples], dtype=float)
        for name in names
    }


def _mean_level(spans: Sequence[tuple[float, float, int]], edges_s: Series) -> Series:
    """Mean sum of the heights of the (begin, end, height) that overlap, in each window."""
    if not spans:
        return np.zeros(len(edges_s) - 1)
    begin, end, height = np.array(spans).T
    times, order = np.unique(np.concatenate([begin, end]), return_inverse=True)
    level = np.cumsum(np.bincount(order, weights=np.concatenate([height, -height])))
    area = np.concatenate([[0.0], np.cumsum(level[:-1] * np.diff(times))])
    mean: Series = np.diff(np.interp(edges_s, times, area)) / np.diff(edges_s)
    return mean
