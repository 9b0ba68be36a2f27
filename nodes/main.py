"""A node as a process: `python -m nodes.main --plan FILE --node NAME ...`.

Talks to the runner over stdin and stdout, a JSON object a line: prints `{"event": "ready"}`
when all its ends listen; `start T` (CLOCK_MONOTONIC seconds) begins the run; `stop` is
answered with `{"event": "stopped"}` and says that peers may go; the end of stdin ends it. The
agents also print `{"event": "progress", "done": n}` and `{"event": "completed"}`. An error
ends the process with status 1 and one line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from nodes.agents.population import AgentPopulation
from nodes.roles import make_node
from nodes.storage.block_store import BlockStore
from nodes.worlds.sockets.lmdb_store import LmdbBlockStore
from nodes.worlds.sockets.world import SocketWorld
from plan.deployment import System
from plan.model import read_plan
from plan.records import RequestRecord

PROGRESS_S = 0.2


class Stopped(Exception):
    """The runner ended the run."""


def main() -> None:
    """Run one node to its end; what goes wrong is one event on stdout."""
    arguments = _arguments()
    try:
        asyncio.run(_run(arguments))
    except* Stopped:
        pass
    except* Exception as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        _say({"event": "error", "message": f"{arguments.node}: {type(first).__name__}: {first}"})
        raise


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nodes.main", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="plan.json of the run")
    parser.add_argument("--system", type=Path, required=True, help="JSON of the system's features")
    parser.add_argument("--node", required=True, help="which node of the plan this is")
    parser.add_argument("--out", type=Path, required=True, help="directory for results")
    parser.add_argument("--store", type=Path, help="directory of a storage host's blocks")
    parser.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="HOST=PID",
        help="a process in the network namespace of another host of this node (its GPUs)",
    )
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    plan = read_plan(arguments.plan)
    system = msgspec.json.decode(arguments.system.read_bytes(), type=System)
    namespaces = {
        host: int(pid) for host, _, pid in (text.partition("=") for text in arguments.namespace)
    }
    store: BlockStore | None = LmdbBlockStore(arguments.store) if arguments.store else None
    with (arguments.out / f"{arguments.node}.records.jsonl").open("wb") as records:
        try:
            async with asyncio.TaskGroup() as tasks:
                world = SocketWorld(plan, arguments.node, namespaces, tasks)
                node = make_node(world, plan, system, store, _recorder(records))
                await world.open(node.handle)
                _say({"event": "ready"})
                commands = await _stdin_lines()
                await _started(world, commands)
                node.start()
                if isinstance(node, AgentPopulation):
                    world.spawn(_announce(node))
                await _until_stopped(commands)
                world.expect_end()
                _say({"event": "stopped"})
                # a peer that has not heard of the end yet must not find us gone
                await commands.read()
                raise Stopped
        finally:
            _write_stats(world, arguments.out)


def _recorder(records: IO[bytes]) -> Callable[[RequestRecord], None]:
    encoder = msgspec.json.Encoder()

    def record(done: RequestRecord) -> None:
        records.write(encoder.encode(done) + b"\n")

    return record


async def _started(world: SocketWorld, commands: asyncio.StreamReader) -> None:
    line = (await commands.readline()).decode().split()
    if len(line) != 2 or line[0] != "start":
        raise Stopped
    world.clock.begin(float(line[1]))
    await world.clock.sleep_until(0.0)


async def _until_stopped(commands: asyncio.StreamReader) -> None:
    while line := await commands.readline():
        if line.strip() == b"stop":
            return


async def _announce(agents: AgentPopulation) -> None:
    last = -1
    while not agents.completed.done():
        if agents.done != last:
            last = agents.done
            _say({"event": "progress", "done": last, "total": agents.total})
        await asyncio.wait({agents.completed}, timeout=PROGRESS_S)
    _say({"event": "completed"})


async def _stdin_lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _write_stats(world: SocketWorld, out: Path) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    world.stats.cpu_s = usage.ru_utime + usage.ru_stime
    world.stats.lateness_s = world.clock.lateness_s()
    (out / f"{world.node}.stats.json").write_bytes(msgspec.json.encode(world.stats))


def _say(event: dict[str, object]) -> None:
    os.write(1, json.dumps(event).encode() + b"\n")


if __name__ == "__main__":
    main()
