"""On which side the hits of a request are read from storage (paper section 4).

A rule gives the prefill side's share of a read, 0 to 1, as a policy is asked for it.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.scheduling.policy import Read, Snapshot

ReadSide = Callable[[Snapshot, Read], float]


def prefill_side(_known: Snapshot, _read: Read) -> float:
    """The single path of Basic."""
    return 1.0


def shorter_queue(known: Snapshot, read: Read) -> float:
    """All on the side whose disk read queue is shorter."""
    return pe_share(known.read_queues[read.pe.node], known.read_queues[read.de.node])


def split(known: Snapshot, read: Read) -> float:
    """So on both sides that they finish together."""
    queues = known.read_queues[read.pe.node], known.read_queues[read.de.node]
    return split_share(*queues, read.tokens)


def in_turn(known: Snapshot, read: Read) -> float:
    """Sides in turn, for every pair of engines: in turn over all requests alone, half of the
    engines would always read on one side where their number is even. Pairs begin in turn."""
    last = known.last_share.get((read.pe.name, read.de.name))
    if last is None:
        return 1.0 - len(known.last_share) % 2
    return 1.0 - last


def unless_pooled(side: ReadSide) -> ReadSide:
    """Nothing on the prefill side where the hits are in the DE's DRAM pool."""

    def share(known: Snapshot, read: Read) -> float:
        pooled = known.homes.get(read.request.agent) == read.de.node
        return 0.0 if pooled else side(known, read)

    return share


def pe_share(pe_read_queue: float, de_read_queue: float) -> float:
    """All or nothing, where the disk read queue is shorter, and on a tie where the KV is
    needed first."""
    return 0.0 if de_read_queue < pe_read_queue else 1.0


def split_share(pe_read_queue: float, de_read_queue: float, tokens: float) -> float:
    """The share of a read of `tokens` with which both sides finish together (equal SNICs);
    named as future work by paper section 4."""
    return min(1.0, max(0.0, (de_read_queue - pe_read_queue + tokens) / (2 * tokens)))
