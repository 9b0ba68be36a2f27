"""Round robin, the baseline: engines in turn as requests come; nothing is weighed or waits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nodes.protocol.messages import Request
from nodes.scheduling.policy import Engine, Side, Snapshot
from nodes.scheduling.read_sides import ReadSide


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """The groups whose turn it is take a request as it comes, fetched or not."""

    pe_share: ReadSide

    def open_groups(self, known: Snapshot) -> Collection[int]:
        return _whose_turn(known.prefill, 0).group, _whose_turn(known.decode, 0).group

    def choose_pe(self, known: Snapshot, group: int, _request: Request) -> Engine | None:
        engine = _whose_turn(known.prefill, 0)
        return engine if engine.group == group else None

    def choose_group(self, known: Snapshot, _request: Request) -> int:
        return _whose_turn(known.decode, 0).group

    def choose_des(
        self, known: Snapshot, group: int, waiting: Collection[Request]
    ) -> Sequence[Engine]:
        chosen = []
        for ahead, _ in enumerate(waiting):
            engine = _whose_turn(known.decode, ahead)
            if engine.group != group:
                break
            chosen.append(engine)
        return chosen


def _whose_turn(side: Side, ahead: int) -> Engine:
    return side.engines[(side.given + ahead) % len(side.engines)]
