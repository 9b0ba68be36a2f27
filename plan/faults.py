"""What breaks during a run, how nodes notice and go on, and what is told of it.

Times are model seconds since the run's start.
"""

from __future__ import annotations

from typing import Literal

import msgspec

FaultKind = Literal["down", "slow", "loss", "kill", "pause", "power_off", "corrupt", "disk_full"]
Way = Literal["both", "out", "in"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that breaks once.

    Attributes:
        kind: `down`: a link, NIC or all ports of a switch carry nothing; the routes around it
            follow. `slow`: a share `to` of its rate is left. `loss`: a share of its frames
            is lost and sent again. `kill`: a node's program ends at once, with all that it held;
            a new one begins when the fault is over. `pause`: it does nothing meanwhile.
            `power_off`: its NICs are down first, so nobody hears of its end. `corrupt`: a share
            of the blocks that a storage host holds turn into others. `disk_full`: it stores
            nothing more.
        target: a link, NIC, switch or node by its name (`plan.names`), or `controller`.
        at_s: when; with `at_share` so long after that share (0..1) of all requests is done.
        for_s: how long; None: to the end of the run.
        to, share: of `slow` and `loss`; way: of a NIC or link one direction alone, seen from the
            node or from the switch that its name begins with.
        blocks: of `corrupt`, the share.
    """

    kind: FaultKind
    target: str
    at_s: float = 0.0
    at_share: float | None = None
    for_s: float | None = None
    to: float = 1.0
    share: float = 0.0
    way: Way = "both"
    blocks: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} of {self.target}"


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """How nodes notice faults and go on.

    Attributes:
        hits: what follows a failed read: the next attempt reads on the other side, which
            is refused where it had failed, too, and what then is left is computed; or it is
            computed at once; or the request fails.
        request: what follows a failed attempt: another one, or none.
        attempts: at a request, at most.
        heartbeat_s: between two signs of life of a node.
        lease_s: a node that gives none for so long is taken for dead, and a transfer that moves
            nothing for so long ends with an error.
        reroute_s: from a link's end to the routes around it.
        give_up_s: a request that no node is left for waits so long for one to come back.
    """

    hits: Literal["other_path", "recompute", "fail"] = "other_path"
    request: Literal["resubmit", "fail"] = "resubmit"
    attempts: int = 3
    heartbeat_s: float = 1.0
    lease_s: float = 3.0
    reroute_s: float = 0.05
    give_up_s: float = 60.0


class FaultEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a fault.

    Attributes:
        what: `injected`, `healed`: it took, or it was taken back, and both were seen to have;
            `detected`: nodes know; `recovered`: all goes its way again, around it or as before;
            `skipped`: the run was over before.
        kind, target: of the fault; of what is detected the node, link or host that is found out.
        detail: a clause, perhaps empty.
        fault: its place in the plan's list, from 0; None: what happened is of no single one.
    """

    t_s: float
    what: Literal["injected", "healed", "detected", "recovered", "skipped"]
    kind: str
    target: str
    detail: str = ""
    fault: int | None = None


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a request that came to nothing.

    Attributes:
        number: of the attempt, from 1.
        assigned_s: None: it was not given out. failed_s: when the scheduler knew.
        cause: a clause.
        last: whether no other followed, and the request failed.
    """

    request: int
    number: int
    pe: str | None
    de: str | None
    assigned_s: float | None
    failed_s: float
    cause: str
    last: bool
