"""Intra-engine scheduling of a prefill engine: batches cut to the compute quota.

Paper section 4: data-parallel attention ends in a barrier before the FFN, so the slowest
GPU of an expert-parallel group holds up all of them. Requests are packed FIFO while the
predicted attention time stays within the quota; the one that would exceed it is cut
(chunked prefill).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from plan.deployment import SchedulerConstants, System

MINIMUM_CHUNK = 64
"""Tokens taken from the head request even where they exceed the quota: one block."""


class Chunk(msgspec.Struct, frozen=True):
    """`bsz` new tokens of a request behind `cached` tokens whose KV-Cache is there.

    In a queue: all the prefill work a request has left. In a batch: the part taken.
    """

    request: int
    cached: int
    bsz: int


Packing = Callable[[Sequence[Chunk]], list[Chunk]]
"""The next forward batch of a queue."""


def packing(
    system: System, constants: SchedulerConstants, predict: Callable[[int, int], float]
) -> Packing:
    """How the system forms batches: cut to the compute quota, or of all there is.

    Args:
        predict: as `pack` takes it.
    """
    if system.quota:
        return partial(pack, quota_s=constants.quota_s, predict=predict)
    return list


def pack(
    queue: Sequence[Chunk], quota_s: float, predict: Callable[[int, int], float]
) -> list[Chunk]:
    """The next forward batch: the longest FIFO prefix of the queue within the quota.

    Only the last chunk may be a part of its request. Where not even `MINIMUM_CHUNK` tokens
    of the head request fit, those are taken alone, so a batch of a non-empty queue is
    never empty.

    Args:
        queue: unfinished requests in order of arrival, each with bsz >= 1.
        quota_s: compute quota, seconds of predicted attention time.
        predict: attention time in seconds of (cached, bsz); does not fall with bsz. A
            batch's time is the sum of its chunks'.
    """
    batch: list[Chunk] = []
    left_s = quota_s
    for work in queue:
        bsz = _most_tokens(work, left_s, predict)
        if not batch:
            bsz = max(bsz, min(MINIMUM_CHUNK, work.bsz))
        if bsz:
            batch.append(Chunk(work.request, work.cached, bsz))
            left_s -= predict(work.cached, bsz)
        if bsz < work.bsz:
            break
    return batch


def _most_tokens(work: Chunk, left_s: float, predict: Callable[[int, int], float]) -> int:
    """The largest bsz <= work.bsz whose predicted time is at most `left_s`, by bisection."""
    if predict(work.cached, work.bsz) <= left_s:
        return work.bsz
    fits, exceeds = 0, work.bsz
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        if predict(work.cached, middle) <= left_s:
            fits = middle
        else:
            exceeds = middle
    return fits
