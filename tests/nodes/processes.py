"""Nodes of a plan as processes on the loopback, told and heard as a runner would."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from plan.deployment import System
from plan.events import AnyCommand, NodeEvent, Ready, Start
from plan.model import Plan, write_plan
from plan.records import NodeStats

DECODER: msgspec.json.Decoder[NodeEvent] = msgspec.json.Decoder(NodeEvent)


class NodeProcess:
    """A node's process and what it has said."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._directory = directory
        argv = [
            *(sys.executable, "-m", "nodes.main"),
            *("--plan", str(directory / "plan.json")),
            *("--system", str(directory / "system.json")),
            *("--node", name, "--out", str(directory)),
        ]
        if name.startswith("st"):
            argv += ["--store", str(directory / f"{name}.blocks")]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def tell(self, command: AnyCommand) -> None:
        self.say(msgspec.json.encode(command))

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def event(self) -> NodeEvent:
        """The next thing it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.name} ended"
        return DECODER.decode(line)

    def last_events(self) -> list[NodeEvent]:
        """All that it still says; it has to end by itself."""
        assert self.process.stdout is not None
        said = self.process.stdout.read()
        self.process.wait(60)
        return [DECODER.decode(line) for line in said.splitlines()]

    def end_input(self) -> None:
        """Nothing more will be said to it."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    @property
    def stats(self) -> NodeStats:
        text = (self._directory / f"{self.name}.stats.json").read_bytes()
        return msgspec.json.decode(text, type=NodeStats)


class Nodes(dict[str, NodeProcess]):
    """Processes of nodes, by name."""

    def tell(self, command: AnyCommand) -> None:
        for node in self.values():
            node.tell(command)

    def expect(self, event: NodeEvent) -> None:
        """It is what each of them says next."""
        assert {name: node.event() for name, node in self.items()} == dict.fromkeys(self, event)

    def started(self) -> Nodes:
        """The same, with a run that goes on."""
        self.expect(Ready())
        self.tell(Start(time.monotonic() + 0.1))
        return self


@contextmanager
def launched(plan: Plan, system: System, directory: Path, *names: str) -> Iterator[Nodes]:
    """Processes of the named nodes, or of all of them; killed at the end."""
    write_plan(plan, directory / "plan.json")
    (directory / "system.json").write_bytes(msgspec.json.encode(system))
    nodes = Nodes()
    with ExitStack() as stack:
        for name in names or [node.name for node in plan.fabric.nodes]:
            nodes[name] = NodeProcess(directory, name)
            stack.enter_context(nodes[name].process)
            stack.callback(nodes[name].process.kill)
        yield nodes
