"""What a run measures, as written to its directory, in model units."""

from __future__ import annotations

from typing import Literal

import msgspec

from plan.durations import Durations


class RequestRecord(msgspec.Struct, kw_only=True):
    """One request (one turn of one agent). Times: model seconds since the run's start.

    `pool_tokens` of the `hit_tokens` came from the decode node's DRAM pool, the others from
    storage; `path` is `pool` where nothing had to be read from there.

    `ready_s` is when its hits and its DRAM buffers were there and it queued on its PE.
    `buffer_wait_s` is no moment: of the time from `assigned_s` to `ready_s`, so long it
    waited for DRAM buffers; the rest it waited for SNICs and read. On the PE path that is for
    the PE buffer, then for the DE buffer; on the DE path for the DE buffer. Of a divided read
    the side counts that ended last, and what that side waited for.

    NaN-free: a time that was never reached is None. TTFT = first - submit; TTST =
    second - first; TPOT = (done - second) / (gen_tokens - 2), None below 3 tokens.
    """

    request: int
    agent: int
    turn: int
    prompt_tokens: int
    hit_tokens: int = 0
    pool_tokens: int = 0
    gen_tokens: int
    pe: str | None = None
    de: str | None = None
    path: str | None = None
    submit_s: float
    assigned_s: float | None = None
    read_start_s: float | None = None
    read_end_s: float | None = None
    buffer_wait_s: float | None = None
    ready_s: float | None = None
    prefill_start_s: float | None = None
    first_s: float | None = None
    second_s: float | None = None
    done_s: float | None = None
    error: str | None = None


EndedBy = Literal["all served", "after", "agents", "steady", "ttft_beyond", "broken off"]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Why a system's run ended, and what is measured of it.

    What is measured lies between `from_s` and `to_s`: from the warm-up's end on, or the last
    window where TTFT had to come to rest or went beyond its bound. Requests that were under way
    at the end are among the records, without `done_s` and without an error.

    Attributes:
        ended_by: the key of `run.end` that came true, or one of the others.
        from_s, to_s: model seconds since the run's start; the run ended at `to_s`.
        under_way: requests submitted and not done.
        agents: that had arrived; agents_done: of these, how many had all their turns done.
    """

    ended_by: EndedBy
    from_s: float
    to_s: float
    under_way: int = 0
    agents: int = 0
    agents_done: int = 0


class CounterSample(msgspec.Struct, kw_only=True):
    """Cumulative counters at one moment, model bytes of payload.

    Attributes:
        t_s: model seconds since the run's start.
        nics: NIC name -> (bytes out of the node, bytes into the node). Out of a CNIC is a
            read of the node's memory, into it a write (paper section 2); into an SNIC is
            a storage read.
        links: link name (`a-b`) -> (bytes a to b, bytes b to a).
        lanes: lane name -> (bytes, drops), over every egress of the fabric.
    """

    t_s: float
    nics: dict[str, tuple[float, float]]
    links: dict[str, tuple[float, float]]
    lanes: dict[str, tuple[float, int]]


class BacklogSample(msgspec.Struct, kw_only=True):
    """What waits in the queues of the fabric at one moment.

    Attributes:
        t_s: model seconds since the run's start.
        queues: egress -> lane -> model bytes of payload; empty queues are left out. An
            egress is `<nic> out` (at the node), `<nic> in` (at its leaf switch) or `a→b`.
    """

    t_s: float
    queues: dict[str, dict[str, float]]


class ForwardRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A forward pass of an expert-parallel prefill group (paper section 7, Fig 14), or, in a
    long run, several that followed each other.

    Attributes:
        t_s: when the first attention barrier was passed, model seconds.
        engines: participants, tokens: new tokens of all of them; sums over the passes.
        attention_max_s, attention_mean_s: over the participants, all layers; means over the
            passes, weighted by their tokens.
        passes: how many.
    """

    t_s: float
    engines: int
    tokens: int
    attention_max_s: float
    attention_mean_s: float
    passes: int = 1


LATE_S = 0.002
MOST_LATE = 2000
"""So many wake-ups of a node that were later than that, model seconds, are kept one by one."""


class NodeStats(msgspec.Struct, kw_only=True):
    """What one node process knows at its end.

    Attributes:
        blocks_verified, blocks_corrupt: Layer Blocks checked where they were consumed.
        lateness_s: wake-up lateness, model seconds: (p50, p99, max), None where virtual.
        alarms: wake-ups. late: in a run with recovery, when those were due that were later than
            `LATE_S`, and by how much, model seconds.
        cpu_s: CPU seconds used by the process, None where virtual.
        retransmits: TCP segments retransmitted by the node's namespaces.
        dram_bytes: read from and written to the node's DRAM by transfers, model bytes.
        bubble_s: time that the node's engines waited at the expert-parallel barrier, summed.
        collectives_s: durations of the collectives of the node's engines.
        collectives_wire_s: what the same bytes take at the rate of an idle CNIC, summed.
        forwards: of the group that the node leads, in some 2000 records at most.
        blocks_refused: Full Blocks that were read and not used, for they or one before them were
            not what they should be; late_messages: about attempts that had come to nothing.
        buffer: what of its PE or DE buffer was leased, (model seconds, model bytes from then on);
            not every change, but its last in every so many milliseconds.
    """

    node: str
    blocks_verified: int = 0
    blocks_corrupt: int = 0
    lateness_s: tuple[float, float, float] | None = None
    cpu_s: float | None = None
    retransmits: int = 0
    dram_bytes: float = 0.0
    bubble_s: float = 0.0
    collectives_s: Durations = msgspec.field(default_factory=Durations)
    collectives_wire_s: float = 0.0
    forwards: list[ForwardRecord] = []
    buffer: list[tuple[float, float]] = []
    blocks_refused: int = 0
    late_messages: int = 0
    alarms: int = 0
    late: list[tuple[float, float]] = []
