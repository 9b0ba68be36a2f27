"""Policies and packings of plug-ins: asked as the built-in ones are, their answers looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from nodes.protocol.messages import Request
from nodes.scheduling.intra_engine import Chunk, Packing
from nodes.scheduling.policy import Engine, InterEnginePolicy, Read, Snapshot
from plan.deployment import SchedulerConstants, System
from plan.errors import PluginError
from plan.plugins import Caller, Plugin, load

ASKED = ("open_groups", "choose_pe", "choose_group", "choose_des", "pe_share")
"""The methods of `InterEnginePolicy`."""


class PluggedPolicy:
    """A plug-in's inter-engine policy; it has the methods of `InterEnginePolicy` and is made
    as `MakePolicy` says.

    Raises:
        PluginError: from all methods: it raises, takes too long, or answers what is not there.
    """

    def __init__(self, plugin: Plugin, system: System, constants: SchedulerConstants) -> None:
        self._call = Caller(plugin)
        self._policy: InterEnginePolicy = self._call(load(plugin), system, constants)
        for name in ASKED:
            if not callable(getattr(self._policy, name, None)):
                raise PluginError(f"{plugin.file}: {plugin.attribute} has no {name}()")

    def open_groups(self, known: Snapshot) -> Collection[int]:
        groups = self._call(self._policy.open_groups, known)
        here = (known.prefill.groups, known.decode.groups)
        for group in groups:
            if not any(group in side for side in here):
                self._call.refuse(self._policy.open_groups, group, "is no group")
        return tuple(groups)

    def choose_pe(self, known: Snapshot, group: int, request: Request) -> Engine | None:
        engine = self._call(self._policy.choose_pe, known, group, request)
        if engine is not None and not _among(engine, known.prefill.groups[group]):
            problem = f"is no engine of prefill group {group}"
            self._call.refuse(self._policy.choose_pe, engine, problem)
        return engine

    def choose_group(self, known: Snapshot, request: Request) -> int:
        group = self._call(self._policy.choose_group, known, request)
        if group not in known.decode.groups:
            self._call.refuse(self._policy.choose_group, group, "is no decode group")
        return group

    def choose_des(
        self, known: Snapshot, group: int, waiting: Collection[Request]
    ) -> Sequence[Engine]:
        engines = self._call(self._policy.choose_des, known, group, waiting)
        if not isinstance(engines, Sequence) or len(engines) > len(waiting):
            problem = f"is no list of at most {len(waiting)} engines"
            self._call.refuse(self._policy.choose_des, engines, problem)
        for engine in engines:
            if not _among(engine, known.decode.groups[group]):
                problem = f"is no engine of decode group {group}"
                self._call.refuse(self._policy.choose_des, engine, problem)
        return engines

    def pe_share(self, known: Snapshot, read: Read) -> float:
        share = self._call(self._policy.pe_share, known, read)
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            self._call.refuse(self._policy.pe_share, share, "is no share from 0 to 1")
        return float(share)


def _among(engine: object, engines: Sequence[Engine]) -> bool:
    return any(engine is one for one in engines)


class PluggedPacking:
    """A plug-in's way to form forward batches; it is made as `packing` makes one and called as
    a `Packing`.

    Raises:
        PluginError: from a call: it raises, takes too long, or its batch cannot be computed.
    """

    def __init__(
        self,
        plugin: Plugin,
        constants: SchedulerConstants,
        predict: Callable[[int, int], float],
    ) -> None:
        self._call = Caller(plugin)
        self._pack: Packing = self._call(load(plugin), constants, predict)
        if not callable(self._pack):
            raise PluginError(f"{plugin.file}: what {plugin.attribute} makes is no function")

    def __call__(self, queue: Sequence[Chunk]) -> list[Chunk]:
        batch = self._call(self._pack, queue)
        if problem := _batch_problem(queue, batch):
            self._call.refuse(self._pack, batch, problem)
        return batch


def _batch_problem(queue: Sequence[Chunk], batch: object) -> str:
    """Why a batch is not the beginning of a queue, the last request perhaps cut."""
    if not isinstance(batch, list) or not all(isinstance(chunk, Chunk) for chunk in batch):
        return "is no list of chunks"
    if not 0 < len(batch) <= len(queue):
        return f"has not one to {len(queue)} chunks"
    for work, chunk in zip(queue, batch, strict=False):
        last = chunk is batch[-1]
        if (chunk.request, chunk.cached) != (work.request, work.cached):
            return f"has {chunk} where {work} is next: requests are computed in their order"
        if not (0 < chunk.bsz <= work.bsz if last else chunk.bsz == work.bsz):
            return f"has {chunk} of {work}: only the last one may be cut"
    return ""
