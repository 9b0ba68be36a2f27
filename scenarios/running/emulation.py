"""The emulated run: the fabric comes up once, then every system is served on it in turn."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from controller.telemetry import read_samples
from plan.deployment import System
from plan.errors import RunError
from plan.fabric import Node
from plan.model import Plan, write_plan
from plan.records import BacklogSample, NodeStats, RequestRecord
from scenarios.results.result import SystemResult
from scenarios.results.samples import window
from scenarios.results.taps import Tap
from scenarios.running.fabric import Fabric
from scenarios.running.node_processes import NodeProcesses
from scenarios.running.recording import recording
from scenarios.running.snic_watch import SnicWatch
from topology import counters
from topology.network import Network

LEAD_S = 0.3
"""Wall seconds between telling the nodes to start and the common start."""
POLL_S = 0.25

Progress = Callable[[int, Mapping[str, float]], None]
"""Told requests done and each SNIC's use since the last call (0..1)."""


def serve(
    plan: Plan,
    system: System,
    fabric: Fabric,
    directory: Path,
    progress: Progress,
    taps: Sequence[Tap] = (),
) -> SystemResult:
    """Serve the plan's trajectories by one system on a running fabric.

    A keyboard interrupt ends it early; the result then holds what was done and is marked
    incomplete.

    Args:
        directory: the system's own, for logs, raw results and captures.
        taps: links to record meanwhile.

    Raises:
        RunError: a node process or the controller failed.
    """
    (directory / "system.json").write_bytes(msgspec.json.encode(system))
    before = _Kernel.read(fabric.network, plan)
    fabric.controller.check()
    earlier = len(fabric.controller.incidents)
    with ExitStack() as stack:
        recordings = [
            stack.enter_context(recording(fabric.network, plan, tap, directory)) for tap in taps
        ]
        nodes = NodeProcesses(plan, fabric, directory)
        begun = time.monotonic()
        try:
            nodes.await_ready()
            start = time.monotonic() + LEAD_S
            nodes.tell(f"start {start!r}")
            backlog: list[BacklogSample] = []
            cpu_before = nodes.cpu_times()
            complete = _follow(plan, nodes, fabric.network, start, backlog, progress)
            cpu = nodes.cpu_times().since(cpu_before)
            ended = time.monotonic()
            _await_sample(fabric, ended)
            nodes.stop()
        finally:
            nodes.kill()
    after = _Kernel.read(fabric.network, plan)
    records = _records(directory)
    end_s = max((record.done_s or 0.0 for record in records), default=0.0)
    if not complete:
        end_s = plan.scale.model_s(ended - start)
    result = SystemResult(
        system=system,
        records=records,
        samples=window(read_samples(fabric.telemetry, plan, start), end_s),
        node_stats=[
            _stats(directory, node.name, after.retransmits_since(before, node))
            for node in plan.fabric.nodes
        ],
        drops={lane: count - before.drops[lane] for lane, count in after.drops.items()},
        complete=complete,
        wall_s=time.monotonic() - begun,
        probes=fabric.probes,
        backlog=[sample for sample in backlog if sample.t_s >= 0],
        cpu=cpu,
        incidents=fabric.controller.incidents[earlier:],
        captures=[recorded.traffic(start) for recorded in recordings],
    )
    for blocks in directory.glob("*.blocks"):
        shutil.rmtree(blocks)
    return result


class _Kernel(NamedTuple):
    """Counters of the kernel at one moment."""

    retransmits: Mapping[str, int]
    drops: Mapping[str, int]

    @classmethod
    def read(cls, network: Network, plan: Plan) -> _Kernel:
        return cls(counters.retransmits(network), counters.drops(network, plan))

    def retransmits_since(self, before: _Kernel, node: Node) -> int:
        """Of the node's host and its GPUs'."""
        hosts = (node.name, *node.gpu_hosts)
        return sum(self.retransmits[host] - before.retransmits[host] for host in hosts)


def _follow(
    plan: Plan,
    nodes: NodeProcesses,
    network: Network,
    start: float,
    backlog: list[BacklogSample],
    progress: Progress,
) -> bool:
    """Look at the queues and report progress once a wall second until all requests are done;
    False if the user broke it off."""
    watch = SnicWatch(plan)
    watch.look(plan.scale.model_s(time.monotonic()), counters.egress_bytes(network, plan))
    done = 0
    shown = 0.0
    try:
        while True:
            for event in nodes.events(POLL_S):
                if event["event"] == "completed":
                    return True
                done = event.get("done", done)
            if time.monotonic() - shown >= 1.0:
                shown = time.monotonic()
                t_s = plan.scale.model_s(shown - start)
                backlog.append(BacklogSample(t_s=t_s, queues=counters.backlog(network, plan)))
                now_s = plan.scale.model_s(time.monotonic())
                progress(done, watch.look(now_s, counters.egress_bytes(network, plan)))
    except KeyboardInterrupt:
        return False


def _await_sample(fabric: Fabric, moment: float) -> None:
    """Wait for a counter sample taken after `moment` (CLOCK_MONOTONIC)."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        fabric.controller.check()
        complete, _, _ = fabric.telemetry.read_bytes().rpartition(b"\n")
        last = complete.rpartition(b"\n")[2]
        if last and json.loads(last)["t"] > moment:
            return
        time.sleep(0.1)  # noqa: TID251  between two looks
    raise RunError("the controller takes no more counter samples; see controller.log")


def _records(directory: Path) -> list[RequestRecord]:
    decoder = msgspec.json.Decoder(RequestRecord)
    return [
        decoder.decode(line)
        for path in sorted(directory.glob("*.records.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def _stats(directory: Path, node: str, retransmits: int) -> NodeStats:
    stats = msgspec.json.decode((directory / f"{node}.stats.json").read_bytes(), type=NodeStats)
    stats.retransmits = retransmits
    return stats


def write_inputs(plan: Plan, directory: Path) -> None:
    """Write the plan where the run's processes look for it."""
    write_plan(plan, directory / "plan.json")
