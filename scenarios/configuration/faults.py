"""What a scenario may say of faults: those that it lists, those that are drawn, and recovery."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from plan.faults import FaultKind, Way
from scenarios.configuration.units import Count, Duration, Percent, When

MOST_FAULTS = 10_000
"""Of one run, repetitions counted."""

DEFAULT_KINDS: dict[FaultKind, int] = {"down": 3, "slow": 2, "kill": 1}


class FaultChoice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault, or one that comes again and again.

    Attributes:
        lasting: written `for`: how long; to the end of the run where it is not given.
        back: of `kill` and `power_off`, after what time the node begins anew.
        to: of `slow`, what is left of the rate; share: of `loss`, of the frames; blocks: of
            `corrupt`, of those that are stored.
        way: of a link or NIC, one direction alone.
        every, times: so often, so long apart.
    """

    at: When
    kind: FaultKind
    target: str
    lasting: Duration | None = msgspec.field(default=None, name="for")
    back: Duration | None = None
    to: Percent | None = None
    share: Percent | None = None
    blocks: Percent | None = None
    way: Way = "both"
    every: Duration | None = None
    times: Count | None = None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of each kind that drawn faults always leave."""

    prefill: Annotated[int, Meta(ge=0)] = 1
    decode: Annotated[int, Meta(ge=0)] = 1
    storage: Annotated[int, Meta(ge=0)] = 1
    scheduler: Annotated[int, Meta(ge=0, le=1)] = 1


class RandomFaults(msgspec.Struct, frozen=True, kw_only=True):
    """Faults that are drawn while planning; the run's `scenario.yaml` lists them.

    Attributes:
        mean_every: mean time between two, which is exponentially distributed.
        until: none begins later.
        kinds: how often each comes beside the others; None: `DEFAULT_KINDS`.
        targets: None: all that a kind can befall.
        lasting: written `for`: the mean of how long they last.
        at_once: so many last at a time, at most.
        keep: nodes of each kind that are always there.
    """

    seed: Annotated[int, Meta(ge=0)] = 1
    mean_every: Duration
    until: Duration
    kinds: dict[FaultKind, Annotated[int, Meta(ge=0, le=1000)]] | None = None
    targets: tuple[str, ...] | None = None
    lasting: Duration = msgspec.field(default=Duration(2), name="for")
    at_once: Count = 1
    keep: Kept = Kept()


class RecoveryChoice(msgspec.Struct, frozen=True, kw_only=True):
    """How nodes notice faults and go on, in a run that has any.

    Attributes:
        hits: after a failed read, the other side reads, or what was to be read is computed, or
            the request fails.
        request: a failed attempt is followed by another one, or the request fails.
        attempts: at a request, at most.
        heartbeat: between two signs of life; lease: silence after which a node is taken for
            dead, and a transfer that moves nothing for broken.
        give_up: a request that no node is left for waits so long for one.
    """

    hits: Literal["other_path", "recompute", "fail"] = "other_path"
    request: Literal["resubmit", "fail"] = "resubmit"
    attempts: Annotated[int, Meta(ge=1, le=1000)] = 3
    heartbeat: Duration = Duration(1)
    lease: Duration = Duration(3)
    give_up: Duration = Duration(60)
