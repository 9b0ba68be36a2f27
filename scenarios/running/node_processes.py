"""The processes of all nodes, one each, in their namespaces."""

from __future__ import annotations

import selectors
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from plan.errors import RunError
from plan.events import AnyCommand, NodeEvent, Ready, Stop, Stopped
from plan.model import Plan
from scenarios.running.cpu import CpuTimes
from scenarios.running.events import NODE_EVENTS, EventStream
from scenarios.running.fabric import Fabric
from topology.interpreter import python

READY_TIMEOUT_S = 60


class NodeProcesses:
    """The processes of all nodes, one each, in their namespaces."""

    def __init__(self, plan: Plan, fabric: Fabric, directory: Path) -> None:
        self._fabric = fabric
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._streams: list[EventStream[NodeEvent]] = []
        self._logs: list[IO[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(fabric.controller.events, selectors.EVENT_READ)
        for node in plan.fabric.nodes:
            argv = [
                *python("-m", "nodes.main"),
                *("--plan", str(directory.parent.parent / "plan.json")),
                *("--system", str(directory / "system.json")),
                *("--node", node.name, "--out", str(directory)),
            ]
            if node.kind == "storage":
                argv += ["--store", str(directory / f"{node.name}.blocks")]
            for host in node.gpu_hosts:
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
            self._streams.append(EventStream(process, node.name, NODE_EVENTS))
            self._selector.register(self._streams[-1], selectors.EVENT_READ, self._streams[-1])

    def await_ready(self) -> None:
        for stream in self._streams:
            stream.await_event(Ready)

    def tell(self, command: AnyCommand) -> None:
        line = msgspec.json.encode(command) + b"\n"
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()

    def cpu_times(self) -> CpuTimes:
        return CpuTimes.read(
            self._fabric.network.daemons.vswitchd_pid,
            self._fabric.controller.pid,
            [process.pid for process in self._processes.values()],
        )

    def events(self, timeout_s: float) -> Iterator[NodeEvent]:
        """What nodes have said within a time; the controller is heeded too.

        Raises:
            RunError: one of them reported an error or ended.
        """
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._fabric.controller.events:
                self._fabric.controller.heed(self._fabric.controller.events.take())
            else:
                stream: EventStream[NodeEvent] = key.data
                yield from stream.take()

    def stop(self) -> None:
        """End all in order: every node knows of the end before the first one goes.

        Raises:
            RunError: one of them failed.
        """
        self.tell(Stop())
        for stream in self._streams:
            stream.await_event(Stopped)
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
