"""An inter-engine policy: weighted least outstanding bytes, with affinity to a prefix's home.

Every choice goes to where the least is outstanding. For a PE that is the KV-Cache of its
unfinished requests, and what its node's SNIC still has to read, weighted; for a DE, what it
holds or is about to. A turn stays with the node whose DRAM pool has its prefix, as long as that
node is not much busier than the least busy one. All of it is counted in tokens, for those of one
model have the same bytes.

    systems: [dualpath, {name: least-bytes, scheduler: ../examples/least_bytes.py:LeastBytes}]

A policy needs no base class: the methods of `nodes.scheduling.policy.InterEnginePolicy` are all
that is asked of it, and what it is shown is its `Snapshot`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nodes.protocol.messages import Request
from nodes.scheduling.policy import Engine, Read, Snapshot
from plan.deployment import SchedulerConstants, System

DUALPATH_PLUGIN = 1

READ = 8.0
"""What a token that waits for a node's SNIC weighs, against one that is with an engine: eight
engines of a node share the SNIC."""
AFFINITY = 1.25
"""Outstanding tokens of the home over the least of all DEs, up to which a turn stays there."""


class LeastBytes:
    """Made once a run for a system; its methods are called by the central scheduler."""

    def __init__(self, system: System, constants: SchedulerConstants) -> None:
        self._limit = constants.beta_tokens
        self._either = system.paths != "pe"

    def open_groups(self, known: Snapshot) -> Collection[int]:
        """Groups that have fetched, oldest first."""
        return known.fetching

    def choose_pe(self, known: Snapshot, group: int, _request: Request) -> Engine | None:
        """The PE with the least outstanding, if any has not enough to do."""
        free = [engine for engine in known.prefill.groups[group] if engine.tok <= self._limit]
        return min(
            free,
            key=lambda engine: engine.tok + READ * known.read_queues[engine.node],
            default=None,
        )

    def choose_group(self, known: Snapshot, request: Request) -> int:
        """The group of the prefix's home, else the one with the least outstanding per engine."""
        if home := known.homes.get(request.agent):
            return known.decode.nodes[home][0].group
        sizes = {group: len(engines) for group, engines in known.decode.groups.items()}
        return min(sizes, key=lambda group: known.group_tokens[group] / sizes[group])

    def choose_des(
        self, known: Snapshot, group: int, waiting: Collection[Request]
    ) -> Sequence[Engine]:
        """For each request the DE with the least outstanding that has the HBM, in the order in
        which they came: the first one that fits nowhere ends the fetch."""
        engines = known.decode.groups[group]
        tokens = [engine.tok for engine in engines]
        free = [engine.free for engine in engines]
        chosen = []
        for request in waiting:
            roomy = [i for i, room in enumerate(free) if room >= request.total]
            if not roomy:
                break
            best = min(roomy, key=tokens.__getitem__)
            home = known.homes.get(request.agent)
            at_home = [i for i in roomy if engines[i].node == home]
            if at_home:
                nearest = min(at_home, key=tokens.__getitem__)
                if tokens[nearest] <= AFFINITY * (tokens[best] + request.total):
                    best = nearest
            tokens[best] += request.total
            free[best] -= request.total
            chosen.append(engines[best])
        return chosen

    def pe_share(self, known: Snapshot, read: Read) -> float:
        """All on the side that has less waiting to be read; nothing where the DE's pool has it."""
        if not self._either:
            return 1.0
        if known.homes.get(read.request.agent) == read.de.node:
            return 0.0
        here, there = (known.read_queues[engine.node] for engine in (read.pe, read.de))
        return 1.0 if here <= there else 0.0
