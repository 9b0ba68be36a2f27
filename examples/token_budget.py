"""A packing of forward batches: so many new tokens each, whatever their attention takes.

This is the chunked prefill of many serving engines, against which DualPath's compute quota can
be seen: equal tokens are not equal attention times.

    systems: [dualpath, {name: budget, packing: ../examples/token_budget.py:TokenBudget}]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nodes.scheduling.intra_engine import Chunk
from plan.deployment import SchedulerConstants

DUALPATH_PLUGIN = 1

TOKENS = 8192
"""New tokens of a forward batch."""


class TokenBudget:
    """Made for every prefill engine, and called for each of its forward batches."""

    def __init__(self, constants: SchedulerConstants, predict: Callable[[int, int], float]) -> None:
        """A budget needs neither the constants nor what attention is predicted to take."""

    def __call__(self, queue: Sequence[Chunk]) -> list[Chunk]:
        """The first requests of the queue, the last one perhaps cut."""
        batch: list[Chunk] = []
        left = TOKENS
        for work in queue:
            taken = min(work.bsz, left)
            if taken == 0:
                break
            batch.append(Chunk(work.request, work.cached, taken))
            left -= taken
        return batch
