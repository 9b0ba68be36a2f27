"""The emulated run: the fabric comes up once, then every system is served on it in turn."""

from __future__ import annotations

import json
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from controller import qos
from controller.telemetry import at, read_samples
from plan.deployment import System
from plan.model import Plan, write_plan
from plan.records import BacklogSample, CounterSample, NodeStats, RequestRecord
from scenarios.errors import RunError
from scenarios.results.metrics import SystemResult
from scenarios.results.taps import Tap
from scenarios.running.controller_process import CONTROLLER_PORT, Controller, controller
from scenarios.running.cpu import CpuTimes
from scenarios.running.events import Event, EventStream
from scenarios.running.recording import recording
from scenarios.running.snic_watch import SnicWatch
from topology import counters, ovs, shaping
from topology.network import Network
from topology.probe import probe_rates

LEAD_S = 0.3
"""Wall seconds between telling the nodes to start and the common start."""
READY_TIMEOUT_S = 60
POLL_S = 0.25

Progress = Callable[[int, Mapping[str, float]], None]
"""Told requests done and each SNIC's use since the last call (0..1)."""


class Fabric(NamedTuple):
    """A fabric that is up, checked and probed."""

    network: Network
    controller: Controller
    telemetry: Path
    probes: Mapping[str, float]


@contextmanager
def fabric(plan: Plan, directory: Path, sample_s: float, *, probe: bool = True) -> Iterator[Fabric]:
    """Build the plan's fabric, shape it, start its controller, read all of it back, probe it.

    Args:
        directory: for the controller's log and telemetry.
        sample_s: wall seconds between two counter samples.
        probe: False leaves the probes out.

    Raises:
        RunError: the kernel did not apply what the plan says.
        TopologyError: it could not be built.
    """
    with (
        ovs.daemons() as daemons,
        Network(plan.fabric, daemons, CONTROLLER_PORT) as network,
    ):
        qos.install(plan)
        shaping.finish_switch_ports(network, plan)
        shaping.shape_hosts(network, plan)
        telemetry = directory / "telemetry.jsonl"
        with controller(directory, telemetry, sample_s) as running:
            if disagreements := shaping.read_back(network, plan):
                raise RunError(f"the kernel did not apply the plan: {'; '.join(disagreements[:3])}")
            probes = probe_rates(network, plan) if probe else {}
            yield Fabric(network, running, telemetry, probes)


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
        nodes = _NodeProcesses(plan, fabric, directory)
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
        samples=_window(read_samples(fabric.telemetry, plan, start), end_s),
        node_stats=[
            _stats(directory, node.name, after.retransmits_since(before, node.name))
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

    def retransmits_since(self, before: _Kernel, node: str) -> int:
        """Of the node's host and its GPUs (`<node>g<i>`)."""
        hosts = [host for host in self.retransmits if host.partition("g")[0] == node]
        hosts = hosts or [node]
        return sum(self.retransmits[host] - before.retransmits[host] for host in hosts)


class _NodeProcesses:
    """The processes of all nodes, one each, in their namespaces."""

    def __init__(self, plan: Plan, fabric: Fabric, directory: Path) -> None:
        self._fabric = fabric
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._streams: list[EventStream] = []
        self._logs: list[IO[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(fabric.controller.events, selectors.EVENT_READ)
        for node in plan.fabric.nodes:
            argv = [
                *(sys.executable, "-m", "nodes.main"),
                *("--plan", str(directory.parent.parent / "plan.json")),
                *("--system", str(directory / "system.json")),
                *("--node", node.name, "--out", str(directory)),
            ]
            if node.kind == "storage":
                argv += ["--store", str(directory / f"{node.name}.blocks")]
            for gpu in range(node.gpus):
                host = f"{node.name}g{gpu}"
                argv += ["--namespace", f"{host}={fabric.network.namespace_pid(host)}"]
            log = (directory / f"{node.name}.log").open("wb")
            self._logs.append(log)
            process = fabric.network.popen(
                node.name,
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Ctrl-C is for the runner, which then ends the nodes in order
                start_new_session=True,
            )
            self._processes[node.name] = process
            self._streams.append(EventStream(process, node.name))
            self._selector.register(self._streams[-1], selectors.EVENT_READ)

    def await_ready(self) -> None:
        for stream in self._streams:
            stream.await_event("ready")

    def tell(self, command: str) -> None:
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.write(command.encode() + b"\n")
            process.stdin.flush()

    def cpu_times(self) -> CpuTimes:
        return CpuTimes.read(
            self._fabric.network.daemons.vswitchd_pid,
            self._fabric.controller.pid,
            [process.pid for process in self._processes.values()],
        )

    def events(self, timeout_s: float) -> Iterator[Event]:
        """What nodes have said within a time; the controller is heeded too.

        Raises:
            RunError: one of them reported an error or ended.
        """
        for key, _ in self._selector.select(timeout_s):
            stream = key.fileobj
            assert isinstance(stream, EventStream)
            events = stream.take()
            if stream is self._fabric.controller.events:
                self._fabric.controller.heed(events)
            else:
                yield from events

    def stop(self) -> None:
        """End all in order: every node knows of the end before the first one goes.

        Raises:
            RunError: one of them failed.
        """
        self.tell("stop")
        for stream in self._streams:
            stream.await_event("stopped")
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
        for name, process in self._processes.items():
            if status := process.wait(READY_TIMEOUT_S):
                raise RunError(f"{name} ended with status {status}; see its log")

    def kill(self) -> None:
        self._selector.close()
        for process in self._processes.values():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
        for log in self._logs:
            log.close()


def _follow(
    plan: Plan,
    nodes: _NodeProcesses,
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
        time.sleep(0.1)
    raise RunError("the controller takes no more counter samples; see controller.log")


def _window(samples: Sequence[CounterSample], end_s: float) -> list[CounterSample]:
    """Samples from 0 to `end_s`, counted from what was there at 0."""
    base = at(samples, 0.0)
    inside = [sample for sample in samples if 0.0 < sample.t_s < end_s]
    return [_minus(sample, base) for sample in (base, *inside, at(samples, end_s))]


def _minus(sample: CounterSample, base: CounterSample) -> CounterSample:
    def pairs(
        now: dict[str, tuple[float, float]], then: dict[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        return {k: (a - then[k][0], b - then[k][1]) for k, (a, b) in now.items()}

    return CounterSample(
        t_s=sample.t_s,
        nics=pairs(sample.nics, base.nics),
        links=pairs(sample.links, base.links),
        lanes={
            lane: (sent - base.lanes[lane][0], drops - base.lanes[lane][1])
            for lane, (sent, drops) in sample.lanes.items()
        },
    )


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
