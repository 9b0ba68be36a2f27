"""The figures of a run, as summary.json holds them."""

from __future__ import annotations

import msgspec

from plan.records import Ending
from scenarios.results.congestion import Backlog, Collectives
from scenarios.results.fidelity import Fidelity
from scenarios.results.service import Service
from scenarios.results.working_set import WorkingSet


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over requests or agents; `count` of them have it."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float


class SnicUse(msgspec.Struct, frozen=True, kw_only=True):
    """An SNIC over the whole run; utilisations are of its rate times the JCT."""

    rate_bps: float
    read_bytes: float
    write_bytes: float
    utilisation: float
    write_utilisation: float


class CnicUse(msgspec.Struct, frozen=True, kw_only=True):
    """A CNIC over the whole run: reads and writes of the node's memory (paper section 2)."""

    rate_bps: float
    read_bytes: float
    write_bytes: float
    read_utilisation: float
    write_utilisation: float


class DramUse(msgspec.Struct, frozen=True, kw_only=True):
    """A node's DRAM over the whole run: what transfers read and wrote, added up.

    Attributes:
        utilisation: of its bandwidth times the JCT; None where nothing was done.
    """

    rate_bytes_per_s: float
    moved_bytes: float
    utilisation: float | None


class SteadyUse(msgspec.Struct, frozen=True, kw_only=True):
    """NICs in the part of a run that is a steady state: every agent has had its first
    request done, and none its last.

    Attributes:
        start_s, end_s: that part, model seconds since the run's start.
        snic: by node. cnic: by node, then GPU.
    """

    start_s: float
    end_s: float
    snic: dict[str, SnicUse]
    cnic: dict[str, dict[str, CnicUse]]


class LaneUse(msgspec.Struct, frozen=True, kw_only=True):
    """A lane over the whole run; bytes count at every egress they pass.

    Attributes:
        backlog: None where virtual: there senders wait, not packets.
    """

    bytes: float
    drops: int
    backlog: Backlog | None = None


class SystemSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One system's figures. Times in model seconds; None where nothing was measured.

    Attributes:
        ending: what ended the run, and from when to when it is measured; `measured` requests
            were done within. Latencies, shares, tokens and NICs' use are of these.
        jct_s: when the last request was done, from the first submission; None where the run
            was not to serve them all.
        agent_jct_s: the same agent by agent, of those that ended within.
        ttft_parts_s: means of what makes up TTFT, in order (paper section 7, Fig 12).
        service: within the scenario's SLO.
        ttft_rising: the run ended, by a rule that says
            nothing of TTFT, while that still rose: longer it may not keep the SLO.
        working_set: KV-Cache of agents alive (section 8.2).
        prompt_tokens, generated_tokens, hit_tokens: sums over measured requests.
        pool_tokens: hits that came from a DRAM pool, the others are from storage.
        snic, dram: by node. cnic: by node, then GPU. lanes: by lane.
        snic_max_over_avg: the SNICs' largest over average read rate in a window, mean over
            the windows in which they are busy (paper section 7, Fig 13).
        attention_max_over_avg: longest over average attention time in a forward of an
            expert-parallel prefill group; `_first` over the run's first 5 % (paper section
            7, Fig 14); forward_engines: mean number of engines that had work in one.
        bubble_share: by side, share of its engines' time spent waiting at the barrier.
        scheduler_cpu_s: CPU time of the scheduler's process, its start included; None where
            virtual.
        steady: None where the run is incomplete or agents were never all at work.
    """

    requests: int
    completed: int
    failed: int
    measured: int = 0
    ending: Ending | None = None
    jct_s: float | None
    agent_jct_s: Distribution | None
    ttft_s: Distribution | None
    ttst_s: Distribution | None
    tpot_s: Distribution | None
    ttft_parts_s: dict[str, float]
    service: Service | None = None
    ttft_rising: bool = False
    working_set: WorkingSet | None = None
    prompt_tokens: int
    generated_tokens: int
    hit_tokens: int
    pool_tokens: int = 0
    snic: dict[str, SnicUse]
    snic_max_over_avg: float | None
    cnic: dict[str, dict[str, CnicUse]]
    lanes: dict[str, LaneUse]
    attention_max_over_avg: float | None
    attention_max_over_avg_first: float | None
    forward_engines: float | None
    bubble_share: dict[str, float]
    collectives: Collectives | None
    retransmits: int
    blocks_verified: int
    blocks_corrupt: int
    wall_s: float
    fidelity: Fidelity
    dram: dict[str, DramUse] = {}
    scheduler_cpu_s: float | None = None
    steady: SteadyUse | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All systems of a run.

    Attributes:
        speedup_over_basic: the baseline's JCT over the system's; only between complete runs.
        unserved: systems that the run ended before.
        error: why it ended early, if something failed.
    """

    systems: dict[str, SystemSummary]
    speedup_over_basic: dict[str, float]
    unserved: tuple[str, ...] = ()
    error: str | None = None
