"""Which program a node of the plan runs."""

from __future__ import annotations

from collections.abc import Callable

from nodes.agents.context import stored_before
from nodes.agents.population import AgentPopulation
from nodes.engines.decode_node import DecodeNode
from nodes.engines.prefill_node import PrefillNode
from nodes.protocol.blocks import STEMS, Runs, rows
from nodes.protocol.signs import give_signs
from nodes.protocol.world import Node, World
from nodes.scheduling.failover import FailoverScheduler, Told
from nodes.scheduling.restarted import RestartedScheduler
from nodes.scheduling.scheduler import SchedulerNode
from nodes.storage.block_store import BlockStore
from nodes.storage.index import Index
from nodes.storage.server import StorageNode
from nodes.timing.timing import timing_of
from plan.deployment import System
from plan.fabric import storage_host
from plan.model import Plan
from plan.records import RequestRecord


def make_node(
    world: World,
    plan: Plan,
    system: System,
    store: BlockStore | None,
    finished: Callable[[RequestRecord], None] | None,
    told: Told | None = None,
    index: Index | None = None,
) -> Node:
    """The program of `world.node`, ready to start.

    Args:
        store: for a storage host, where its blocks are; preloaded contexts are put there.
        finished: for the agents, what gets every request's record.
        told: for the scheduler of a run with recovery, what hears of faults.
        index: for a storage host, what an earlier life of it knew; None: it is its first.
    """
    node = next(node for node in plan.fabric.nodes if node.name == world.node)
    match node.kind:
        case "prefill":
            return PrefillNode(world, plan, system, node, timing_of(plan, "prefill"))
        case "decode":
            return DecodeNode(world, plan, system, node, timing_of(plan, "decode"))
        case "scheduler" if plan.recovery is not None:
            assert told is not None
            kind = FailoverScheduler if world.life == 1 else RestartedScheduler
            return kind(world, plan, system, plan.recovery, told)
        case "scheduler":
            return SchedulerNode(world, plan, system)
        case "agents":
            assert finished is not None
            scheduler = plan.fabric.nodes_of("scheduler")[0].name
            return AgentPopulation(world, plan, scheduler, finished)
        case "storage":
            assert store is not None

            stems = _stems(plan)

            def preloaded(owner: int) -> Runs:
                if not system.io:
                    return ()
                if owner >= STEMS:
                    return stems.get(owner, ())
                context = stored_before(owner, plan.trajectory(owner), plan.layout.tokens)
                return next((share.runs for share in context if share.owner == owner), ())

            signs = None
            if plan.recovery is not None:
                scheduler = plan.fabric.nodes_of("scheduler")[0].name
                signs = give_signs(world, scheduler, plan.recovery.heartbeat_s)
            block_s = 0.0
            if plan.read_bytes_per_s is not None:
                block_s = plan.block_bytes / plan.read_bytes_per_s
            storage = StorageNode(world, store, plan.layout, preloaded, index, signs, block_s)
            hosts = [host.name for host in plan.fabric.nodes_of("storage")]
            # who comes later brings its context along
            together = len(plan.trajectories) if plan.arrivals is None else 0
            for owner in [*range(together), *stems]:
                if storage_host(hosts, owner) == node.name:
                    storage.meet(owner)
            return storage


def _stems(plan: Plan) -> dict[int, Runs]:
    """Of each stem what agents have in storage before they come: as much as any of them has."""
    found: dict[int, Runs] = {}
    for trajectory in plan.trajectories:
        if trajectory.stems:
            for share in stored_before(0, trajectory, plan.layout.tokens):
                if share.owner >= STEMS and rows(share.runs) > rows(found.get(share.owner, ())):
                    found[share.owner] = share.runs
    return found
