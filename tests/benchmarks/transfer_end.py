"""One end of a measured transfer, as a process: the nodes' own sockets and verbs.

`--rows N`: write columns of N Layer Blocks to the peer for a while and print what was
achieved; without it: own the memory that is written to. Either prints its CPU seconds and
lives until stdin ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path

from nodes.main import collect_seldom
from nodes.protocol.blocks import Piece
from nodes.protocol.messages import Message, Remote
from nodes.protocol.world import Move, Span
from nodes.worlds.sockets.world import SocketWorld
from plan.model import read_plan

SOURCE, TARGET = "pe0.hbm0", "de0.dram0"
ROWS = 1024
POSTED_BYTES = 512 * 1024
"""On their way at once, as a TCP connection of the fabric may have."""
WARM_UP_S, MEASURE_S = 1.0, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("node")
    parser.add_argument("gpu_namespace_pid", type=int)
    parser.add_argument("--rows", type=int)
    arguments = parser.parse_args()
    asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    async with asyncio.TaskGroup() as tasks:
        namespaces = {f"{arguments.node}g0": arguments.gpu_namespace_pid}
        world = SocketWorld(read_plan(arguments.plan), arguments.node, namespaces, tasks)
        await world.open(_ignore)
        region = world.allocate(ROWS)
        collect_seldom()
        _say({"ready": True})
        cpu_s = _cpu_s()
        result = {}
        if arguments.rows:
            region.fill([Piece(0, ROWS, 0, 0)], None)
            result = await _write(world, region.key, arguments.rows)
        else:
            await asyncio.to_thread(sys.stdin.read)
        _say({**result, "cpu_s": _cpu_s() - cpu_s})
        # neither end may see the other leave: for a node that is a failure
        sys.stdin.read()
        os._exit(0)


async def _write(world: SocketWorld, key: int, rows: int) -> dict[str, float]:
    region = world._regions[key]
    groups, words = region._words.shape[1:]
    size = rows * words * 4
    # the peer's first and only region
    target = Remote(TARGET, 1)
    posted = 0

    def post() -> asyncio.Future[None]:
        nonlocal posted
        posted += 1
        lo = posted * rows % (ROWS - rows)
        span = Span(lo, lo + rows, posted % groups)
        return world.write(SOURCE, [Move(region, span, target, "kv")])

    begun = first = last = time.monotonic()
    done_then = done = 0
    waiting = [post() for _ in range(POSTED_BYTES // size)]
    while last < begun + WARM_UP_S + MEASURE_S:
        await waiting.pop(0)
        waiting.append(post())
        done, last = done + 1, time.monotonic()
        if last < begun + WARM_UP_S:
            done_then, first = done, last
    for transfer in waiting:
        await transfer
    return {
        "rate_bps": (done - done_then) * size * 8 / (last - first),
        "bytes": float(posted * size),
    }


def _ignore(message: Message) -> None:
    raise AssertionError(f"nobody sends messages here: {message}")


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
