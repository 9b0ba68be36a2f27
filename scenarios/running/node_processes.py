"""The processes of all nodes, one each, in their namespaces."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from plan.endings import ending
from plan.errors import PeerLost, RunError
from plan.events import Again, AnyCommand, NodeEvent, Ready, Spoil, Spoiled, Start, Stop, Stopped
from plan.model import Plan
from scenarios.running.cpu import CpuTimes, process_s
from scenarios.running.events import NODE_EVENTS, EventStream
from scenarios.running.fabric import Fabric
from topology.interpreter import python
from topology.priority import Rank, prefer

ANSWER_S = 60.0
"""Wall seconds within which a node has to be ready, to stop, to end."""
STATE_S = 5.0
"""Wall seconds within which a signal has to take."""
LAST_WORDS_S = 2.0
"""Wall seconds within which a node that others have lost says why."""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""A node multiplies no matrices; threads for that would only spin beside it for a while."""


class NodeProcesses:
    """The processes of all nodes, one each, in their namespaces."""

    def __init__(self, plan: Plan, fabric: Fabric, directory: Path) -> None:
        self._fabric = fabric
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._streams: dict[str, EventStream[NodeEvent]] = {}
        self._logs: list[IO[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self.watch_controller()
        self._directory = directory
        # nodes without engines have the start for their only alarm: it rings for them first
        nodes = sorted(plan.fabric.nodes, key=lambda node: node.gpus)
        self._nodes = {node.name: node for node in nodes}
        self._lives = dict.fromkeys(self._nodes, 0)
        self._started: Start | None = None
        self._spent_s = 0.0  # by processes that have ended
        for name in self._nodes:
            self.begin(name)

    def begin(self, name: str) -> int:
        """Start a node's program; returns which life of it this is, from 1."""
        node, directory, network = self._nodes[name], self._directory, self._fabric.network
        self._lives[name] += 1
        argv = [
            *python("-m", "nodes.main"),
            *("--plan", str(directory.parent.parent / "plan.json")),
            *("--system", str(directory / "system.json")),
            *("--node", name, "--life", str(self._lives[name]), "--out", str(directory)),
        ]
        if node.kind == "storage":
            argv += ["--store", str(directory / f"{name}.blocks")]
        for host in node.gpu_hosts:
            argv += ["--namespace", f"{host}={network.namespace_pid(host)}"]
        path = directory / f"{name}.log"
        log = path.open("ab")
        self._logs.append(log)
        process = network.popen(
            name,
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **ONE_THREAD},
            # Ctrl-C is for the runner, which then ends the nodes in order
            start_new_session=True,
        )
        self._processes[name] = process
        if self._started is None:
            prefer(process.pid, Rank.START)
        stream = EventStream(process, name, NODE_EVENTS, path)
        self._streams[name] = stream
        self._selector.register(stream, selectors.EVENT_READ, stream)
        return self._lives[name]

    def alive(self, name: str) -> bool:
        """Whether a node's program is there, perhaps paused."""
        return name in self._processes

    def end(self, name: str) -> None:
        """A node's program is killed, or has said that it ends: it is there no more."""
        process = self._processes.pop(name)
        self._selector.unregister(self._streams.pop(name))
        self._spent_s += process_s(process.pid)
        _reap(process)

    def watch_controller(self) -> None:
        """Heed what the controller says, from now on."""
        self._selector.register(self._fabric.controller.events, selectors.EVENT_READ)

    def leave_controller(self) -> None:
        """Heed it no more."""
        self._selector.unregister(self._fabric.controller.events)

    def pid(self, name: str) -> int:
        """Of a node's program."""
        return self._processes[name].pid

    def spoil(self, name: str, share: float, seed: int) -> int:
        """Have blocks of a storage host turn into others; returns how many.

        Raises:
            RunError: it does not say so.
        """
        self.tell(Spoil(share, seed), only=name)
        return self._streams[name].await_event(Spoiled, ANSWER_S).blocks

    def pause(self, name: str, *, paused: bool) -> None:
        """Have a node's program stand still, or go on; see that it does.

        Raises:
            RunError: it does not.
        """
        process = self._processes[name]
        process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)
        deadline = time.monotonic() + STATE_S
        while (_state(process.pid) == "T") != paused:
            if time.monotonic() > deadline:
                raise RunError(f"{name} does not {'stand still' if paused else 'go on'}")
            time.sleep(0.001)  # noqa: TID251  between two looks

    def await_ready(self) -> None:
        """Until all listen at their ends.

        Raises:
            RunError: one of them failed, or is not ready in time.
        """
        self._await(Ready)
        for process in self._processes.values():
            prefer(process.pid, Rank.NODE)

    def tell(self, command: AnyCommand, *, only: str | None = None) -> None:
        """Say something to all, or to one.

        Raises:
            RunError: one of them is gone.
        """
        if isinstance(command, Start):
            self._started = command
        line = msgspec.json.encode(command) + b"\n"
        for name, process in self._processes.items():
            if only not in (None, name):
                continue
            assert process.stdin is not None
            try:
                process.stdin.write(line)
                process.stdin.flush()
            except BrokenPipeError:
                stream = self._streams[name]
                gone = RunError(f"{name} does not listen any more; see {stream.log}")
                raise stream.failure(LAST_WORDS_S) or gone from None

    def cpu_times(self) -> CpuTimes:
        controller = self._fabric.controller
        times = CpuTimes.read(
            self._fabric.network.daemons.vswitchd_pids,
            controller.pid if controller.alive else None,
            [process.pid for process in self._processes.values()],
        )
        return msgspec.structs.replace(
            times,
            controller=times.controller + controller.spent_s,
            nodes=times.nodes + self._spent_s,
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
                if self._streams.get(stream.name) is stream:  # it has not ended meanwhile
                    yield from self._heard(stream)

    def _heard(self, stream: EventStream[NodeEvent]) -> Iterator[NodeEvent]:
        """What a node says; one that begins late, or anew, is seen to."""
        for event in stream.take():
            match event:
                case Ready():
                    assert self._started is not None
                    # a program's start is work that would hold up those that run
                    prefer(self._processes[stream.name].pid, Rank.NODE)
                    self.tell(self._started, only=stream.name)
                case Again():
                    self.end(stream.name)
                    self.begin(stream.name)
                case _:
                    yield event

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
            stream = self._streams.get(error.peer)
            said = stream.failure(LAST_WORDS_S) if stream is not None else None
            if said is None:
                return error
            error = said
        return error

    def kill(self) -> None:
        """End all at once."""
        self._selector.close()
        for process in self._processes.values():
            _reap(process)
        for log in self._logs:
            log.close()

    def _await(self, wanted: type[NodeEvent]) -> None:
        for stream in self._streams.values():
            stream.await_event(wanted, ANSWER_S)


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        # what could not be said to one that is gone would be said again
        with suppress(BrokenPipeError):
            pipe.close()


def _state(pid: int) -> str:
    """The letter by which the kernel tells what a process does."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
