"""A whole run in virtual time: every node of a plan in one process, no root, no sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from nodes.agents.population import AgentPopulation
from nodes.roles import make_node
from nodes.worlds.failure import failing_node, on_callback_error
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.identity_store import IdentityBlockStore
from nodes.worlds.virtual.loop import VirtualTimeLoop, run
from nodes.worlds.virtual.progress import Progress, time_has_to_pass
from nodes.worlds.virtual.world import VirtualCluster, VirtualWorld
from plan.deployment import System
from plan.errors import first_cause
from plan.model import Plan
from plan.records import CounterSample, Ending, NodeStats, RequestRecord


@dataclass(frozen=True)
class VirtualRun:
    """How a run in virtual time ended.

    Attributes:
        last: counters at the end.
        complete: False if Ctrl-C ended it early.
        ending: why it ended, and what is measured of it.
        events: timers that were set.
    """

    last: CounterSample
    stats: list[NodeStats]
    complete: bool
    events: int
    ending: Ending


def simulate(
    plan: Plan,
    system: System,
    sample_s: float,
    finished: Callable[[RequestRecord], None],
    sampled: Callable[[CounterSample], None],
) -> VirtualRun:
    """Serve the plan's trajectories by a system in virtual time.

    Args:
        sample_s: model seconds between two counter samples.
        finished: told every request as it is done, and at the end those that are not.
        sampled: told the counters every `sample_s`, from the start on.

    Raises:
        Standstill: the nodes wait for each other for ever, or are busy without an end.
    """
    return run(_simulate(plan, system, sample_s, finished, sampled))


class _Over(Exception):
    """The run has come to its end."""


async def _simulate(
    plan: Plan,
    system: System,
    sample_s: float,
    finished: Callable[[RequestRecord], None],
    sampled: Callable[[CounterSample], None],
) -> VirtualRun:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    worlds: list[VirtualWorld] = []
    network = FlowNetwork(loop.agenda, plan.fabric, plan.lanes)
    cluster: VirtualCluster | None = None
    progress = Progress(loop)
    ending: Ending | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            cluster = VirtualCluster(plan, tasks, loop, network)
            loop.set_exception_handler(on_callback_error(tasks))
            for node in plan.fabric.nodes:
                world = VirtualWorld(cluster, node.name)
                worlds.append(world)
                store = IdentityBlockStore() if node.kind == "storage" else None
                program = make_node(world, plan, system, store, finished)
                cluster.handlers[node.name] = program.handle
                program.start()
                if isinstance(program, AgentPopulation):
                    agents = program

            def sample() -> None:
                counters = network.counters(loop.time())
                sampled(counters)
                progress.look(agents.done, sum(out for out, _ in counters.nics.values()))
                # a sampler alone must not keep a deadlocked run alive
                if loop.busy():
                    loop.call_later(sample_s, sample)

            with time_has_to_pass(loop):
                sample()
                ending = await agents.completed
            raise _Over
    except* _Over:
        pass
    except* asyncio.CancelledError:
        pass  # asyncio's answer to Ctrl-C
    except* Exception as group:
        cause = first_cause(group)
        # no frame of compiled code tells whose it is
        if name := failing_node(cause) or (cluster and cluster.failed):
            cause.add_note(f"in node {name}")
        raise
    finally:
        loop.set_exception_handler(None)
    assert cluster is not None
    last = network.counters(loop.time())
    for world in worlds:
        if bus := cluster.buses.get(world.node):
            world.stats.dram_bytes = bus.moved_bytes
    return VirtualRun(
        last,
        [world.stats for world in worlds],
        ending is not None,
        loop.events(),
        ending or agents.so_far("broken off"),
    )
