"""A node as a process: `python -m nodes.main --plan FILE --node NAME ...`.

The runner's commands come on stdin, the node's events go to stdout, a line each, in the types
of `plan.events`. It is ready when all its ends listen; `Start` begins the run, `Ask` is
answered with what it waits for, `Stop` with `Stopped` and says that peers may go; the end of
stdin ends it. An error ends it with status 1 and one event.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from nodes.agents.population import AgentPopulation
from nodes.protocol.world import Node
from nodes.roles import make_node
from nodes.scheduling.scheduler import SchedulerNode
from nodes.storage.disk_index import DiskIndex
from nodes.worlds.sockets.lmdb_store import LmdbBlockStore
from nodes.worlds.sockets.recovering_world import RecoveringWorld
from nodes.worlds.sockets.world import SocketWorld
from nodes.worlds.waiting import waiting_tasks
from plan.deployment import System
from plan.errors import BeginAnew, PeerLost, RunError, first_cause, said
from plan.events import (
    Again,
    AnyCommand,
    Ask,
    Completed,
    Error,
    NodeEvent,
    Noted,
    Progress,
    Ready,
    Spoil,
    Spoiled,
    Start,
    Status,
    Stop,
    Stopped,
)
from plan.faults import AttemptRecord, FaultEvent
from plan.model import Plan, read_plan
from plan.records import RequestRecord

PROGRESS_S = 0.2
YOUNG_OBJECTS = 50_000
"""New objects between two rounds of the garbage collector, for which alarms would wait."""
INDEX = "index.jsonl"
"""In the directory of a storage host's blocks."""
REQUESTS = "requests.jsonl"
"""Where the agents write every request as it is done."""


class _Over(Exception):
    """The runner has no more commands."""


def main() -> None:
    """Run one node to its end; what goes wrong is one event on stdout."""
    arguments = _arguments()
    try:
        asyncio.run(_run(arguments))
    except* _Over:
        pass
    except* Exception as group:
        cause = first_cause(group)
        if isinstance(cause, BeginAnew):
            _say(Again(str(cause)))
        else:
            _say(Error(said(cause), cause.peer if isinstance(cause, PeerLost) else None))
            raise


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nodes.main", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="plan.json of the run")
    parser.add_argument("--system", type=Path, required=True, help="JSON of the system's features")
    parser.add_argument("--node", required=True, help="which node of the plan this is")
    parser.add_argument("--out", type=Path, required=True, help="directory for results")
    parser.add_argument("--life", type=int, default=1, help="of the node's program, from 1")
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
    with ExitStack() as opened:
        async with asyncio.TaskGroup() as tasks:
            world = _world(plan, arguments, namespaces, tasks)
            opened.callback(_write_stats, world, arguments.out)
            store, index = _stored(plan, arguments.store, opened)
            finished = None
            if world.node in (node.name for node in plan.fabric.nodes_of("agents")):
                finished = _recorder(arguments.out / REQUESTS, opened)
            node = make_node(world, plan, system, store, finished, _tell, index)
            await world.open(node.handle)
            collect_seldom()
            _say(Ready())
            async for command in _commands():
                if isinstance(command, Spoil) and store is not None:
                    _say(Spoiled(store.spoil(command.share, command.seed)))
                else:
                    await _obey(command, world, node)
            raise _Over


def collect_seldom() -> None:
    """Spare the garbage collector what stays to the end, and most of its rounds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _stored(
    plan: Plan, path: Path | None, opened: ExitStack
) -> tuple[LmdbBlockStore | None, DiskIndex | None]:
    """A storage host's blocks, and where its program may end and begin anew, its index."""
    if path is None:
        return None, None
    if plan.recovery is None:
        return LmdbBlockStore(path), None
    store = LmdbBlockStore(path, may_fill=True)
    index = DiskIndex(path / INDEX)
    opened.callback(index.close)
    return store, index


def _world(
    plan: Plan,
    arguments: argparse.Namespace,
    namespaces: dict[str, int],
    tasks: asyncio.TaskGroup,
) -> SocketWorld:
    if plan.recovery is None:
        return SocketWorld(plan, arguments.node, namespaces, tasks)
    return RecoveringWorld(plan, plan.recovery, arguments.node, namespaces, tasks, arguments.life)


def _tell(event: FaultEvent | AttemptRecord) -> None:
    if isinstance(event, FaultEvent):
        _say(Noted(fault=event))
    else:
        _say(Noted(attempt=event))


def _recorder(path: Path, opened: ExitStack) -> Callable[[RequestRecord], None]:
    """Writes a record at once, so that it is there whatever ends the run."""
    file = opened.enter_context(path.open("wb", buffering=0))
    encoder = msgspec.json.Encoder()

    def record(done: RequestRecord) -> None:
        file.write(encoder.encode(done) + b"\n")

    return record


async def _commands() -> AsyncIterator[AnyCommand]:
    """What the runner says, until it says no more.

    Raises:
        RunError: it said something else.
    """
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    decoder = msgspec.json.Decoder(AnyCommand)
    while line := await reader.readline():
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError as error:
            text = line.decode(errors="replace").strip()
            raise RunError(f"{text!r} is no command: {error}") from None


async def _obey(command: AnyCommand, world: SocketWorld, node: Node) -> None:
    match command:
        case Start():
            world.clock.begin(command.at)
            if world.clock.now() < 0:  # a later life begins in the middle of the run
                await world.clock.sleep_until(0.0)
            node.start()
            if isinstance(node, AgentPopulation):
                world.spawn(_announce(node))
        case Stop():
            # from now on a peer that is gone has only heard of the end before us
            world.expect_end()
            _say(Stopped())
        case Ask():
            _say(_status(world, node))


def _status(world: SocketWorld, node: Node) -> Status:
    places = (place for _, place in waiting_tasks(asyncio.get_running_loop()))
    return Status(
        node=world.node,
        rung=world.clock.rung,
        alarms=world.clock.alarms,
        requests=node.ledger.standing() if isinstance(node, SchedulerNode) else {},
        transfers=world.under_way(),
        tasks=dict(Counter(places)),
    )


async def _announce(agents: AgentPopulation) -> None:
    last = -1
    while not agents.completed.done():
        if agents.done != last:
            last = agents.done
            _say(Progress(last, agents.total))
        await asyncio.wait({agents.completed}, timeout=PROGRESS_S)
    _say(Completed(agents.completed.result()))


def _write_stats(world: SocketWorld, out: Path) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    world.stats.cpu_s = usage.ru_utime + usage.ru_stime
    world.stats.lateness_s = world.clock.lateness_s()
    world.stats.alarms, world.stats.late = world.clock.rung, world.clock.late
    (out / f"{world.node}.stats.json").write_bytes(msgspec.json.encode(world.stats))


def _say(event: NodeEvent) -> None:
    os.write(1, msgspec.json.encode(event) + b"\n")


if __name__ == "__main__":
    main()
