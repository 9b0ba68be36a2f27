"""Inter-engine scheduling (paper section 4): which PE, which DE, which side reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from nodes.protocol.messages import Request
from nodes.scheduling.policy import Engine, Snapshot
from nodes.scheduling.read_sides import ReadSide
from plan.deployment import SchedulerConstants

Z_FACTOR = 1.05


@dataclass(frozen=True, slots=True)
class DualPath:
    """The paper's policy: leader engines fetch, and engines are chosen by what they have to do.

    Where decode nodes pool KV-Cache in DRAM, a turn goes to its trajectory's home if that has
    the HBM; without pools no trajectory has a home.
    """

    constants: SchedulerConstants
    pe_share: ReadSide

    def open_groups(self, known: Snapshot) -> Collection[int]:
        """Those that have fetched; a fetch stays open until there is something to give."""
        return known.fetching

    def choose_pe(self, known: Snapshot, group: int, _request: Request) -> Engine | None:
        return choose_pe(
            known.prefill.groups[group],
            known.read_queues,
            self.constants.alpha_tokens,
            self.constants.beta_tokens,
        )

    def choose_group(self, known: Snapshot, request: Request) -> int:
        home = known.homes.get(request.agent)
        for engine in known.decode.nodes[home] if home else ():
            if engine.free >= request.total:
                return engine.group
        return choose_group(known.group_tokens)

    def choose_des(
        self, known: Snapshot, group: int, waiting: Collection[Request]
    ) -> Sequence[Engine]:
        return choose_des(
            (request.total for request in waiting),
            known.decode.groups[group],
            (known.homes.get(request.agent) for request in waiting),
        )


def choose_pe(
    engines: Iterable[Engine], read_queues: Mapping[str, int], alpha: float, beta: float
) -> Engine | None:
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


def choose_group(group_tokens: Mapping[int, int]) -> int:
    """DE choice, phase 1: the group with the least total tok_e."""
    return min(group_tokens, key=group_tokens.__getitem__)


def choose_des(
    lengths: Iterable[int], engines: Sequence[Engine], homes: Iterable[str | None] = repeat(None)
) -> list[Engine]:
    """DE choice, phase 2: engines for the first requests of a group's private queue.

    A choice counts for the next one. The result is shorter than `lengths` when the rest has
    to wait for HBM. Engines of a request's home, if there are any with the HBM, go before
    all others.

    Args:
        lengths: tokens of the queued requests, in queue order.
        engines: the group.
        homes: for each request the node whose DRAM pool holds its trajectory.
    """
    tok = [engine.tok for engine in engines]
    seq = [engine.seq for engine in engines]
    free = [engine.free for engine in engines]
    fitting = _feasible_prefix(lengths, sum(free))
    threshold = Z_FACTOR * (sum(fitting) + sum(tok)) / len(engines)
    chosen = []
    for length, home in zip(fitting, homes, strict=False):
        roomy = [i for i, room in enumerate(free) if room >= length]
        if home is not None:
            roomy = [i for i in roomy if engines[i].node == home] or roomy
        if not roomy:
            break
        calm = [i for i in roomy if tok[i] + length <= threshold]
        best = min(calm, key=seq.__getitem__) if calm else min(roomy, key=tok.__getitem__)
        tok[best] += length
        seq[best] += 1
        free[best] -= length
        chosen.append(engines[best])
    return chosen


def _feasible_prefix(lengths: Iterable[int], free: float) -> list[int]:
    """The leading requests that fit the summed free HBM (fragmentation ignored)."""
    fitting = []
    for length in lengths:
        free -= length
        if free < 0:
            break
        fitting.append(length)
    return fitting
