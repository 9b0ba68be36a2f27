"""What a scenario may say: typed, frozen, checked before anything is built.

Quantities carry units (`units`) and are model quantities: those of the paper's cluster, not of
the emulated wire. `scenarios/library/quickstart.yaml` is a commented example.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from controller.lanes import PAPER, Arbitration
from plan.deployment import GpuSpec, ModelSpec, System
from plan.fabric import NodeKind
from scenarios.configuration.faults import MOST_FAULTS, FaultChoice, RandomFaults, RecoveryChoice
from scenarios.configuration.models import GPUS, MODELS
from scenarios.configuration.online import Arrival, Gap, RunChoice
from scenarios.configuration.systems import BASELINE, PROPOSED, SYSTEMS
from scenarios.configuration.units import (
    AutoBandwidth,
    Bandwidth,
    ByteRate,
    Count,
    Duration,
    Positive,
    Rate,
    Ratio,
    Size,
    TokenLimit,
)

Row = Literal["32K", "48K", "64K"]
"""A row of the paper's trace table (paper section 5)."""


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """Storage hosts. `rate` of each; "auto" is the sum of all SNICs. `read_rate` is what a single
    read gets at most; None: all that NICs carry."""

    hosts: Count = 1
    rate: AutoBandwidth = AutoBandwidth("auto")
    read_rate: ByteRate | None = None

    @property
    def read_bytes_per_s(self) -> float | None:
        """Of a single read, bytes/s."""
        return None if self.read_rate is None else float(self.read_rate)

    def reads_bps(self, reads: int) -> float:
        """Of so many reads at once, bit/s; infinite where only NICs limit them."""
        return math.inf if self.read_rate is None else 8.0 * reads * self.read_rate


class FatTree(msgspec.Struct, frozen=True, kw_only=True):
    """Both planes' shape: `k` even, None for the smallest that holds all hosts."""

    k: Annotated[int, Meta(ge=2, multiple_of=2)] | None = None
    oversubscription: Annotated[float, Meta(ge=1)] = 1.0


class GroupNodes(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of each engine group (paper section 4), None for all of the side in one.

    A group is an expert-parallel group too, and fetches together.
    """

    prefill: Count | None = None
    decode: Count | None = None


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """The modelled cluster (paper section 1) and the share of it that is emulated.

    Attributes:
        prefill, decode: nodes of each kind.
        group_nodes: how many of them are one engine group.
        cnic, snic, dram: rates of one GPU's CNIC and one whole node's SNIC and DRAM.
        slice: the share of every node that is emulated: its GPUs, its SNIC and its DRAM.
            Every ratio of paper section 2 keeps its value.
        merge: so many GPUs of a node are one engine, with all their CNIC, FLOP/s and HBM.
        block_cost: time that a whole node's SNIC spends on a Full Block beside its bytes: what it
            delivers of its rate falls with the block's size. None: nothing.
        converged: one fabric for both planes.
        dram_buffer: DRAM of a whole node that is PE or DE buffer.
        dram_pool: DRAM of a whole decode node that `dram-pool` keeps KV-Cache in.
        management: rate of each node's management NIC.
        message_latency: of a control message, one way, in virtual time; emulated ones take
            what they take.
    """

    prefill: Count = 1
    decode: Count = 1
    group_nodes: GroupNodes = GroupNodes()
    gpus_per_node: Count = 8
    cnic: Bandwidth = Bandwidth(400e9)
    snic: Bandwidth = Bandwidth(400e9)
    block_cost: Duration | None = None
    dram: ByteRate = ByteRate(500e9)
    dram_buffer: Size = Size(80e9)
    dram_pool: Size = Size(400e9)
    slice: Ratio = Ratio(1)
    merge: Count = 1
    storage: Storage = Storage()
    fat_tree: FatTree = FatTree()
    converged: bool = False
    management: Bandwidth = Bandwidth(100e9)
    message_latency: Duration = Duration(50e-6)

    @property
    def nodes_per_group(self) -> dict[NodeKind, int]:
        """Nodes of an engine group on each side."""
        groups = self.group_nodes
        return {
            "prefill": groups.prefill or self.prefill,
            "decode": groups.decode or self.decode,
        }

    @property
    def sliced_gpus(self) -> Fraction:
        """GPUs of a node that are emulated; whole in a checked scenario."""
        return self.gpus_per_node * self.slice

    @property
    def engines_per_node(self) -> int:
        """Engines of a node: its emulated GPUs, merged."""
        return int(self.sliced_gpus) // self.merge

    @property
    def engine_cnic_bps(self) -> float:
        """CNIC rate of one engine, bit/s."""
        return self.cnic * self.merge

    @property
    def node_snic_bps(self) -> float:
        """SNIC rate of one emulated node, bit/s."""
        return self.snic * float(self.slice)

    def delivered_snic_bps(self, block_bytes: float) -> float:
        """What one emulated SNIC delivers in Full Blocks of a size, bit/s."""
        bytes_s = block_bytes * 8 / self.snic
        return self.node_snic_bps * bytes_s / (bytes_s + float(self.block_cost or 0))

    @property
    def node_dram_bytes_per_s(self) -> float:
        """DRAM rate of one emulated node, reads and writes together, bytes/s."""
        return self.dram * float(self.slice)

    @property
    def node_dram_buffer_bytes(self) -> float:
        """PE or DE buffer of one emulated node, bytes."""
        return self.dram_buffer * float(self.slice)

    @property
    def storage_bps(self) -> float:
        """Rate of one storage host, bit/s; by default it can fill every SNIC by itself, as the
        paper's storage can, whose files are striped: no host is ever the bottleneck."""
        auto = (self.prefill + self.decode) * self.node_snic_bps
        return self.storage.rate.bps(auto)


class ScaleChoice(msgspec.Struct, frozen=True, kw_only=True):
    """How the model is put on this machine.

    Attributes:
        byte_scale: model bytes per emulated byte.
        dilation: wall seconds per model second; "auto" finds by a pilot what leaves this
            machine room (`scenarios.running.calibration`). Virtual time has none.
        layer_groups: Layer Blocks of a Full Block; each stands for several layers.
        block_tokens: tokens of a block (paper section 1).
    """

    byte_scale: Positive = 2000.0
    dilation: Positive | Literal["auto"] = 1.0
    layer_groups: Count = 6
    block_tokens: Count = 64


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where trajectories come from: a generator row or a trace, one of the two.

    Attributes:
        generator: row of the paper's trace table to draw from.
        trace: file or directory; relative to the scenario file, or to the working directory
            where it is given as an override.
        format: how the trace is written, or a plug-in that reads it.
        fallback: generator row that stands in, with a warning, where `trace` is missing.
    """

    generator: Row | None = None
    trace: str | None = None
    format: str = "mini-swe-agent"
    fallback: Row | None = None


class TurnWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The turns of each trajectory that are replayed, `skip` first ones left out.

    What the skipped turns left behind is in storage before the run.
    """

    skip: Annotated[int, Meta(ge=0)] = 0
    count: Count | None = None

    @property
    def needed(self) -> int:
        """Turns that a trajectory must have to be replayed like this."""
        return self.skip + (self.count or 1)


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """Agents and what each of them replays (paper section 5).

    Attributes:
        min_turns: trajectories with fewer turns are not used; None: with fewer than `turns`
            asks for.
        max_gen: cut generations to that many tokens; None leaves them.
        max_context: a trajectory ends before its context exceeds it; None: no limit.
        append_scale, gen_scale: factors on the lengths (paper section 7, Fig 9).
        shared_prefix: of an agent's first prompt, what is in storage before it begins: nothing,
            so that hits stay within a trajectory; what others had before it in its trace; or
            so many tokens of every agent's.
        arrival: `offline`: all agents start together; a rate, `0.45 /s`; `trace`: as they
            did there; or more exactly.
        gap: time between a turn's last token and the next turn's request.
        gap_scale: factor on it.
    """

    source: Source
    agents: Count
    min_turns: Count | None = None
    turns: TurnWindow = TurnWindow()
    max_gen: Count | None = None
    max_context: Count | None = None
    append_scale: Positive = 1.0
    gen_scale: Positive = 1.0
    shared_prefix: Literal["none", "recorded"] | Count = "none"
    arrival: str | Arrival = "offline"
    gap: Literal["none", "trace"] | Gap = "none"
    gap_scale: Positive = 1.0

    @property
    def shortest(self) -> int:
        """Turns of the shortest trajectory that is used."""
        return self.min_turns or self.turns.needed

    @property
    def arrivals(self) -> Arrival | None:
        """How agents arrive; None: they start together.

        Raises:
            UnitError: it is no rate.
        """
        match self.arrival:
            case "offline":
                return None
            case "trace":
                return Arrival(trace=1.0)
            case str(text):
                return Arrival(rate=Rate.parse(text))
            case given:
                return given


class SchedulerChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Constants of the schedulers (paper section 4).

    Attributes:
        alpha: a disk read queue up to this is short (of reading time, or tokens).
        beta: an engine with more unfinished gets nothing (of computing time, or tokens).
        quota: predicted attention time of one forward batch.
        fetch_interval: between two fetches of a leader engine, and how long an idle group waits for
            more before it closes a batch, without layerwise prefill.
        reads_in_flight: requests that a node reads from storage at once.
    """

    alpha: TokenLimit = TokenLimit("3 s")
    beta: TokenLimit = TokenLimit("5 s")
    quota: Duration = Duration(0.3)
    fetch_interval: Duration = Duration(0.05)
    reads_in_flight: Count = 2


class Slo(msgspec.Struct, frozen=True, kw_only=True):
    """The service that agents are promised (paper section 7.4).

    Attributes:
        ttft, tpot: at most that, in the mean or at a percentile, which `statistic` says.
    """

    ttft: Duration = Duration(4)
    tpot: Duration = Duration(0.05)
    statistic: Literal["mean", "p90", "p99"] = "mean"


class ReportChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted and told.

    Attributes:
        sample: model time between two readings of the counters.
        sections: plug-ins that write further sections.
    """

    sample: Duration = Duration(0.5)
    sections: Annotated[tuple[str, ...], Meta(max_length=32)] = ()


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A whole scenario.

    Attributes:
        name: names the run's directory; the file's stem where it is not given.
        engine: `emulate` builds the network; `simulate` runs the same nodes in virtual time
            over a modelled one.
        model, gpu: a preset's name, or the fields of `ModelSpec`, `GpuSpec`.
        gpu_timing: a plug-in that says how long GPUs compute.
        ep: expert parallelism over all GPUs of a side; None: if the model has experts.
        systems: names of `SYSTEMS`, or the fields of `System`.
        lanes: virtual lanes by the paper's arbitration, or by another one; off sends every
            traffic class through one queue.
        collectives: what the engines of a group exchange in every layer, as traffic on the
            high lane: `alltoall` for expert parallelism (true means this), `tensor` for the
            ReduceScatters and AllGathers of tensor and context parallelism, `off` (false).
        copies: `cnic` puts H2D and D2H copies in the lane of the KV-Cache (paper section 1);
            `direct` leaves them outside the CNIC's control, beside the collectives.
        faults: what breaks during the run; random_faults: drawn faults beside them.
        recovery: how nodes notice and go on.
        sweep: dotted keys with lists of values, all combinations of which are run, or a list
            of points with a value for each key; `pd` stands for `cluster.prefill` and
            `cluster.decode`, as 2:1.
    """

    name: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    description: str = ""
    seed: Annotated[int, Meta(ge=0)] = 1
    engine: Literal["emulate", "simulate"] = "emulate"
    cluster: Cluster = Cluster()
    model: str | ModelSpec = "ds-27b"
    gpu: str | GpuSpec = "h800"
    gpu_timing: str | None = None
    ep: bool | None = None
    scale: ScaleChoice = ScaleChoice()
    workload: Workload
    systems: Annotated[tuple[str | System, ...], Meta(min_length=1)] = (BASELINE, PROPOSED)
    scheduler: SchedulerChoice = SchedulerChoice()
    run: RunChoice = RunChoice()
    lanes: bool | Arbitration = True
    collectives: bool | Literal["off", "alltoall", "tensor"] = False
    copies: Literal["cnic", "direct"] = "cnic"
    slo: Slo = Slo()
    report: ReportChoice = ReportChoice()
    faults: Annotated[tuple[FaultChoice, ...], Meta(max_length=MOST_FAULTS)] = ()
    random_faults: RandomFaults | None = None
    recovery: RecoveryChoice = RecoveryChoice()
    sweep: dict[str, tuple[Any, ...]] | tuple[dict[str, Any], ...] | None = None

    @property
    def model_spec(self) -> ModelSpec:
        """The model, preset or inline."""
        return MODELS[self.model] if isinstance(self.model, str) else self.model

    @property
    def gpu_spec(self) -> GpuSpec:
        """The GPU, preset or inline, before merging."""
        return GPUS[self.gpu] if isinstance(self.gpu, str) else self.gpu

    @property
    def expert_parallel(self) -> bool:
        """Whether experts are spread over all GPUs of a side."""
        return self.model_spec.expert_bytes > 0 if self.ep is None else self.ep

    @property
    def arbitration(self) -> Arbitration | None:
        """By which every egress serves its lanes; None: there is one queue for all."""
        if isinstance(self.lanes, bool):
            return PAPER if self.lanes else None
        return self.lanes

    @property
    def exchanged(self) -> Literal["alltoall", "tensor"] | None:
        """The collectives that are sent."""
        if isinstance(self.collectives, bool):
            return "alltoall" if self.collectives else None
        return None if self.collectives == "off" else self.collectives

    @property
    def compared(self) -> tuple[System, ...]:
        """The systems to run, in order."""
        return tuple(SYSTEMS[s] if isinstance(s, str) else s for s in self.systems)
