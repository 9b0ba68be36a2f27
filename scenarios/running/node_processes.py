"""The processes of all nodes, one each, in their namespaces."""

from __future__ import annotations

import selectors
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from plan.endings import ending
from plan.errors import PeerLost, RunError
from plan.events import AnyCommand, NodeEvent, Ready, Stop, Stopped
from plan.model import Plan
from scenarios.running.cpu import CpuTimes
from scenarios.running.events import NODE_EVENTS, EventStream
from scenarios.running.fabric import Fabric
from topology.interpreter import python
from topology.priority import Rank, prefer

ANSWER_S = 60.0
"""Wall seconds within which a node has to be ready, to stop, to end."""
LAST_WORDS_S = 2.0
"""Wall seconds within which a node that others have lost says why."""


class NodeProcesses:
    """The processes of all nodes, one each, in their namespaces."""

    def __init__(self, plan: Plan, fabric: Fabric, directory: Path) -> None:
        self._fabric = fabric
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._streams: dict[str, EventStream[NodeEvent]] = {}
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
            path = directory / f"{node.name}.log"
            log = path.open("wb")
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
            prefer(process.pid, Rank.NODE)
            stream = EventStream(process, node.name, NODE_EVENTS, path)
            self._streams[node.name] = stream
            self._selector.register(stream, selectors.EVENT_READ, stream)

    def await_ready(self) -> None:
        """Until all listen at their ends.

        Raises:
            RunError: one of them failed, or is not ready in time.
        """
        self._await(Ready)

    def tell(self, command: AnyCommand) -> None:
        """Say something to all.

        Raises:
            RunError: one of them is gone.
        """
        line = msgspec.json.encode(command) + b"\n"
        for name, process in self._processes.items():
            assert process.stdin is not None
            try:
                process.stdin.write(line)
                process.stdin.flush()
            except BrokenPipeError:
                stream = self._streams[name]
                gone = RunError(f"{name} does not listen any more; see {stream.log}")
                raise stream.failure(LAST_WORDS_S) or gone from None

    def cpu_times(self) -> CpuTimes:
        return CpuTimes.read(
            self._fabric.network.daemons.vswitchd_pids,
            self._fabric.controller.pid,
            [process.pid for process in self._processes.values()],
        )

    def events(self, timeout_s: float) -> Iterator[NodeEvent]:
        """What nodes have said within a time; the controller is heeded too.

        Raises:
            RunError: one of them, or a daemon of the switches, reported an error or ended.
        """
        if ended := self._fabric.network.daemons.ended():
            raise RunError(ended)
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._fabric.controller.events:
                self._fabric.controller.heed(self._fabric.controller.events.take())
            else:
                stream: EventStream[NodeEvent] = key.data
                yield from stream.take()

    def stop(self) -> None:
        """End all in order: every node knows of the end before the first one goes.

        Raises:
            RunError: one of them failed, or does not end in time.
        """
        self.tell(Stop())
        self._await(Stopped)
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
        for name, process in self._processes.items():
            log = self._streams[name].log
            try:
                status = process.wait(ANSWER_S)
            except subprocess.TimeoutExpired:
                raise RunError(f"{name} did not end within {ANSWER_S:g} s; see {log}") from None
            if status:
                raise RunError(ending(name, status, log))

    def cause(self, lost: PeerLost) -> RunError:
        """What ended the node that another has lost, if it says so soon; else the loss."""
        error: RunError = lost
        heard: set[str] = set()
        while isinstance(error, PeerLost) and error.peer not in heard:
            heard.add(error.peer)
            said = self._streams[error.peer].failure(LAST_WORDS_S)
            if said is None:
                return error
            error = said
        return error

    def kill(self) -> None:
        """End all at once."""
        self._selector.close()
        for process in self._processes.values():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                # what could not be said to one that is gone would be said again
                with suppress(BrokenPipeError):
                    pipe.close()
        for log in self._logs:
            log.close()

    def _await(self, wanted: type[NodeEvent]) -> None:
        for stream in self._streams.values():
            stream.await_event(wanted, ANSWER_S)
