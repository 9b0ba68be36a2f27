"""Inter-engine scheduling (paper section 4): which PE, which DE, which side reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

Z_FACTOR = 1.05


@dataclass(slots=True)
class EngineLoad:
    """What the scheduler knows of an engine.

    Attributes:
        seq: unfinished requests (seq_e); tok: their total tokens (tok_e).
        capacity: tokens of KV-Cache that fit its HBM (DEs).
    """

    name: str
    node: str
    seq: int = 0
    tok: int = 0
    capacity: float = float("inf")

    @property
    def free(self) -> float:
        """Free HBM, tokens."""
        return self.capacity - self.tok

    def add(self, tokens: int) -> None:
        self.seq += 1
        self.tok += tokens

    def remove(self, tokens: int) -> None:
        self.seq -= 1
        self.tok -= tokens


def choose_pe(
    engines: Iterable[EngineLoad], read_queues: Mapping[str, int], alpha: float, beta: float
) -> EngineLoad | None:
    """The PE of a group for the next request, or None if all have enough to do.

    Class 1 (tok > beta) gets nothing; the least tok of class 2 (read queue <= alpha) goes
    before the least tok of class 3 (read queue > alpha).

    Args:
        read_queues: node -> tokens in its disk read queue.
    """
    open_engines = [engine for engine in engines if engine.tok <= beta]
    return min(
        open_engines,
        key=lambda engine: (read_queues[engine.node] > alpha, engine.tok),
        default=None,
    )


def pe_share(pe_read_queue: float, de_read_queue: float) -> float:
    """Share of a read on the prefill side: all or nothing, where the disk read queue is
    shorter, and on a tie where the KV is needed first."""
    return 0.0 if de_read_queue < pe_read_queue else 1.0


def split_share(pe_read_queue: float, de_read_queue: float, tokens: float) -> float:
    """Share of a read of `tokens` on the prefill side with which both sides finish together
    (equal SNICs); named as future work by paper section 4."""
    return min(1.0, max(0.0, (de_read_queue - pe_read_queue + tokens) / (2 * tokens)))


def choose_group(group_tokens: Mapping[int, int]) -> int:
    """DE choice, phase 1: the group with the least total tok_e."""
    return min(group_tokens, key=lambda group: group_tokens[group])


def roomy_engines(engines: Iterable[EngineLoad], length: int, home: str | None) -> list[EngineLoad]:
    """Engines with the HBM for a request: those of its home if there are any, else all."""
    roomy = [engine for engine in engines if engine.free >= length]
    return [engine for engine in roomy if engine.node == home] or roomy


def choose_des(
    lengths: Sequence[int], engines: Sequence[EngineLoad], homes: Sequence[str | None] = ()
) -> list[EngineLoad]:
    """DE choice, phase 2: engines for the first requests of a group's private queue.

    The chosen engines' loads are updated. The result is shorter than `lengths` when the
    rest has to wait for HBM.

    Args:
        lengths: tokens of the queued requests, in queue order.
        engines: the group.
        homes: for each request the node whose DRAM pool holds its trajectory; empty where
            there is no pool.
    """
    fitting = _feasible_prefix(lengths, sum(engine.free for engine in engines))
    load = sum(lengths[:fitting]) + sum(engine.tok for engine in engines)
    threshold = Z_FACTOR * load / len(engines)
    chosen = []
    for length, home in zip_longest(lengths[:fitting], homes[:fitting]):
        roomy = roomy_engines(engines, length, home)
        if not roomy:
            break
        calm = [engine for engine in roomy if engine.tok + length <= threshold]
        if calm:
            engine = min(calm, key=lambda engine: engine.seq)
        else:
            engine = min(roomy, key=lambda engine: engine.tok)
        engine.add(length)
        chosen.append(engine)
    return chosen


def _feasible_prefix(lengths: Sequence[int], free: float) -> int:
    """How many leading requests fit the summed free HBM (fragmentation ignored)."""
    for count, length in enumerate(lengths):
        free -= length
        if free < 0:
            return count
    return len(lengths)
