"""The whole plan of a run, and how it is written and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from plan.arrivals import Arrival, Arrivals, Gaps, arrivals, gaps_s, trajectory_of
from plan.deployment import BlockLayout, GpuSpec, ModelSpec, SchedulerConstants
from plan.end import End
from plan.errors import reading
from plan.fabric import Fabric, NodeKind
from plan.faults import Fault, Recovery
from plan.lanes import Egress, LaneTable, QueueClass
from plan.plugins import Plugin
from plan.scale import Scale
from plan.workload import Trajectory, Turn

BURST_S = 2e-3
"""Idle time an egress may make up for, wall seconds; covers late timers of a busy machine."""


SUBMIT_S = 1e-6
"""Cost of submitting an RDMA write, amortised by doorbell batching (paper section 3)."""
COPY_S = 6e-6
"""Cost of submitting a copy between host and device to the GPU's driver, which is what a framework
has that moves nothing through its CNICs (paper section 3: 5 to 7 us)."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a process of the run needs to know, in model units.

    Attributes:
        egresses: of every host side of a NIC, then of every switch port.
        groups: node names per engine group, all PE or all DE; the first node leads.
        ep_group: GPUs that share the experts, for `prefill` and `decode` (1: no expert
            parallelism).
        collectives: what the engines of a group exchange in every layer as traffic: AllToAlls
            (expert parallelism), or ReduceScatters and AllGathers (tensor and context
            parallelism); None: nothing.
        dram_buffer_bytes: DRAM of a node for its PE or DE buffer.
        dram_pool_bytes: DRAM of a decode node for its pool, where the system has one.
        dram_bytes_per_s: DRAM bandwidth of a node, reads and writes together.
        message_s: one-way latency of a control message (virtual time only), seconds.
        submit_s: cost of submitting one transfer, seconds; copy_s: of one that the GPU's driver
            does, as without layerwise prefill.
        read_bytes_per_s: what storage delivers of a single read; None: what its NICs carry.
        trajectories: what agents replay, each of them once where `arrivals` is None.
        arrivals: None: all agents start together; gaps: None: a turn follows the last at once.
        end: None: when all requests are served.
        faults: what breaks, in no order; recovery: how nodes notice and go on, None where
            nothing is to break.
        gpu_timing: the plug-in that says how long GPUs compute; None: `nodes.timing` does.
        plugins: what the plan and its systems call by a name that is not built in.
    """

    seed: int
    scale: Scale
    fabric: Fabric
    egresses: tuple[Egress, ...]
    lanes: LaneTable
    layout: BlockLayout
    model: ModelSpec
    gpu: GpuSpec
    ep_group: dict[NodeKind, int]
    groups: tuple[tuple[str, ...], ...]
    constants: SchedulerConstants
    trajectories: tuple[Trajectory, ...]
    collectives: Literal["alltoall", "tensor"] | None = None
    dram_buffer_bytes: float = 80e9
    dram_pool_bytes: float = 400e9
    dram_bytes_per_s: float = 500e9
    message_s: float = 50e-6
    submit_s: float = SUBMIT_S
    copy_s: float = COPY_S
    read_bytes_per_s: float | None = None
    arrivals: Arrivals | None = None
    gaps: Gaps | None = None
    end: End | None = None
    faults: tuple[Fault, ...] = ()
    recovery: Recovery | None = None
    gpu_timing: str | None = None
    plugins: dict[str, Plugin] = {}

    @property
    def block_bytes(self) -> float:
        """KV-Cache of a Full Block, model bytes."""
        return self.model.token_bytes * self.layout.tokens

    @property
    def endless(self) -> bool:
        """Whether agents arrive without end."""
        return self.arrivals is not None and bool(self.arrivals.rates)

    @property
    def requests(self) -> int | None:
        """Requests that the run would serve in all, every turn of every agent; None where
        agents arrive without end."""
        if self.endless:
            return None
        return sum(len(trajectory.turns) for trajectory in self.trajectories)

    def arriving(self) -> Iterator[Arrival]:
        """All agents, in the order in which they come."""
        return arrivals(self.arrivals, self.trajectories, self.seed)

    def trajectory(self, agent: int) -> Trajectory:
        """What an agent replays."""
        return trajectory_of(self.arrivals, self.trajectories, self.seed, agent)

    def gaps_s(self, agent: int, turns: Sequence[Turn]) -> Iterator[float]:
        """How long an agent waits before each of its turns, model seconds."""
        return gaps_s(self.gaps, turns, self.seed, agent)

    def group_of(self, node: str) -> tuple[str, ...]:
        """The engine group of a prefill or decode node."""
        return next(group for group in self.groups if node in group)

    def wire_bps(self, payload_bps: float) -> int:
        """Emulated bit/s on the wire, headers included, for a payload rate in model bit/s."""
        return round(self.scale.wire_bps(payload_bps) * self.fabric.framing)

    def queue_classes(self, egress: Egress) -> tuple[QueueClass, ...]:
        """The queues of an egress, one for each lane.

        Open vSwitch guarantees no queue less than an MTU a second. The burst lets a queue
        catch up after a timer that came `BURST_S` late, and never is less than two frames.
        """
        ceil_bps, mtu = self.wire_bps(egress.rate_bps), self.fabric.mtu
        burst_bytes = max(round(ceil_bps / 8 * BURST_S), 2 * (mtu + 14))
        return tuple(
            QueueClass(
                vl=lane.vl,
                rate_bps=min(max(int(lane.min_share * ceil_bps), 8 * mtu), ceil_bps),
                ceil_bps=ceil_bps,
                burst_bytes=burst_bytes,
                priority=lane.priority,
            )
            for lane in self.lanes.lanes
        )

    def payload_bytes(self, wire_bytes: float) -> float:
        """Model bytes of payload in so many bytes of full-sized frames on the wire."""
        return self.scale.model_bytes(wire_bytes / self.fabric.framing)


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan)))


def read_plan(path: Path) -> Plan:
    """Read a plan that `write_plan` wrote.

    Raises:
        RunError: there is no such file, or it does not hold a plan.
    """
    with reading(path):
        return msgspec.json.decode(path.read_bytes(), type=Plan)
