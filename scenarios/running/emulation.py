"""The emulated run: the fabric comes up once, then every system is served on it in turn."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from plan.deployment import System
from plan.errors import PeerLost, RunError, reading
from plan.events import Start
from plan.fabric import Node
from plan.faults import AttemptRecord, FaultEvent
from plan.model import Plan
from plan.records import BacklogSample, Ending, NodeStats, RequestRecord
from scenarios.results.record_files import (
    attempts_path,
    backlog_path,
    counters_path,
    faults_path,
    read,
    requests_path,
    write,
)
from scenarios.results.result import SystemResult
from scenarios.results.taps import Tap
from scenarios.running.fabric import Fabric
from scenarios.running.fault_records import kept
from scenarios.running.following import Following, Watcher
from scenarios.running.node_processes import NodeProcesses
from scenarios.running.recording import recording
from topology import counters
from topology.network import Network

INCIDENTS_SHOWN = 3
LEAD_S = 0.3
"""Wall seconds between telling the nodes to start and the common start."""


def serve(
    plan: Plan,
    system: System,
    fabric: Fabric,
    directory: Path,
    watcher: Watcher,
    taps: Sequence[Tap] = (),
) -> SystemResult:
    """Serve the plan's trajectories by one system on a running fabric.

    A keyboard interrupt ends it early; the result then holds what was done and is marked
    incomplete.

    Args:
        directory: the system's own, for logs, raw results and captures.
        watcher: told how far it is, see `Watcher`.
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
        fabric.journal.phase("nodes", system.name)
        nodes = NodeProcesses(plan, fabric, directory)
        begun = time.monotonic()
        try:
            nodes.await_ready()
            start = time.monotonic() + LEAD_S
            nodes.tell(Start(start))
            fabric.journal.phase("serving", system.name)
            told = stack.enter_context(kept(plan, system, directory, fabric.journal))
            following = Following(
                plan, system, nodes, fabric, directory, start, begun, watcher, told
            )
            cpu_before = nodes.cpu_times()
            ending = following.to_the_end()
            cpu = nodes.cpu_times().since(cpu_before)
            ended = time.monotonic()
            following.await_sample(ended)
            fabric.journal.phase("stopping", system.name)
            nodes.stop()
        except RunError as error:
            cause = nodes.cause(error) if isinstance(error, PeerLost) else error
            if incidents := fabric.controller.incidents[earlier:]:
                raise RunError(f"{cause}; meanwhile {_listed(incidents)}") from error
            raise cause from None
        finally:
            nodes.kill()
    after = _Kernel.read(fabric.network, plan)
    records = read(requests_path(directory), RequestRecord)
    complete = ending is not None
    if ending is None:
        ending = Ending(ended_by="broken off", from_s=0.0, to_s=plan.scale.model_s(ended - start))
    samples = following.counters(ending.to_s)
    write(counters_path(directory), samples)
    result = SystemResult(
        system=system,
        records=records,
        samples=samples,
        node_stats=[
            _stats(directory, node.name, after.retransmits_since(before, node), plan)
            for node in plan.fabric.nodes
        ],
        drops={lane: count - before.drops[lane] for lane, count in after.drops.items()},
        complete=complete,
        ending=ending,
        wall_s=time.monotonic() - begun,
        probes=fabric.probes,
        backlog=read(backlog_path(directory), BacklogSample),
        cpu=cpu,
        incidents=fabric.controller.incidents[earlier:],
        paused_s=following.pauses.total_s,
        captures=[recorded.traffic(start) for recorded in recordings],
        faults=read(faults_path(directory), FaultEvent) if plan.faults else (),
        attempts=read(attempts_path(directory), AttemptRecord) if plan.faults else (),
    )
    for blocks in directory.glob("*.blocks"):
        shutil.rmtree(blocks)
    return result


def _listed(incidents: Sequence[str]) -> str:
    more = len(incidents) - INCIDENTS_SHOWN
    return ", ".join(incidents[:INCIDENTS_SHOWN]) + (f" and {more} more" if more > 0 else "")


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


def _stats(directory: Path, node: str, retransmits: int, plan: Plan) -> NodeStats:
    path = directory / f"{node}.stats.json"
    if plan.recovery is not None and not path.exists():  # no life of it came to its end in order
        return NodeStats(node=node, retransmits=retransmits)
    with reading(path):
        stats = msgspec.json.decode(path.read_bytes(), type=NodeStats)
    stats.retransmits = retransmits
    return stats
