"""A whole run in virtual time: every node of a plan in one process, no root, no sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from nodes.agents.population import AgentPopulation
from nodes.engines.engine_node import EngineNode
from nodes.protocol.world import Node
from nodes.roles import make_node
from nodes.scheduling.failover import FailoverScheduler, Told
from nodes.storage.index import Index
from nodes.worlds.failure import failing_node, on_callback_error
from nodes.worlds.virtual.breakable_network import BreakableNetwork
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.identity_store import IdentityBlockStore, SpoilableStore
from nodes.worlds.virtual.injection import Injector
from nodes.worlds.virtual.loop import VirtualTimeLoop, run
from nodes.worlds.virtual.mortal_world import MortalCluster
from nodes.worlds.virtual.progress import Progress, time_has_to_pass
from nodes.worlds.virtual.world import VirtualCluster, VirtualWorld
from plan.deployment import System
from plan.errors import first_cause
from plan.faults import AttemptRecord, FaultEvent, Recovery
from plan.model import Plan
from plan.records import CounterSample, Ending, NodeStats, RequestRecord

NO_PROGRESS_S = 600.0
"""In a run with faults nodes always give signs of life; so it is a livelock if requests wait and
neither one is done nor a byte moves for so long, model seconds."""


@dataclass(frozen=True)
class Aftermath:
    """What was left of a run with faults when it had come to rest.

    Attributes:
        held: what is not free, by whose it is.
        sent_bytes: that NICs counted, and that transfers say they sent, by end.
    """

    held: dict[str, float]
    sent_bytes: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class VirtualRun:
    """How a run in virtual time ended.

    Attributes:
        last: counters at the end.
        complete: False if Ctrl-C ended it early.
        ending: why it ended, and what is measured of it.
        events: timers that were set.
        aftermath: where it was waited for.
    """

    last: CounterSample
    stats: list[NodeStats]
    complete: bool
    events: int
    ending: Ending
    aftermath: Aftermath | None = None


def simulate(
    plan: Plan,
    system: System,
    sample_s: float,
    finished: Callable[[RequestRecord], None],
    sampled: Callable[[CounterSample], None],
    told: Told | None = None,
    rest_s: float | None = None,
) -> VirtualRun:
    """Serve the plan's trajectories by a system in virtual time.

    Args:
        sample_s: model seconds between two counter samples.
        finished: told every request as it is done, and at the end those that are not.
        sampled: told the counters every `sample_s`, from the start on.
        told: told what becomes of faults, and of attempts that came to nothing.
        rest_s: of a run with faults, how long after its end and its last fault's it is looked at
            what is left; None: not at all.

    Raises:
        Standstill: the nodes wait for each other for ever, or are busy without an end.
        RunError: a fault did not take.
    """
    if plan.recovery is None:
        return run(_simulate(_Stage(plan, system, finished), sample_s, sampled))
    stage = _FaultyStage(plan, plan.recovery, system, finished, told or _unheard, rest_s)
    return run(_simulate(stage, sample_s, sampled))


def _unheard(_: FaultEvent | AttemptRecord) -> None:
    """Nobody wants to know."""


class _Over(Exception):
    """The run has come to its end."""


class _Stage:
    """The nodes of a run, and what they run in."""

    network: FlowNetwork
    cluster: VirtualCluster
    agents: AgentPopulation
    progress: Progress

    def __init__(
        self, plan: Plan, system: System, finished: Callable[[RequestRecord], None]
    ) -> None:
        self.plan = plan
        self.system = system
        self._finished = finished
        self._worlds: list[VirtualWorld] = []

    def build(self, loop: VirtualTimeLoop) -> None:
        """Have a network in the loop's time."""
        self.network = FlowNetwork(loop.agenda, self.plan.fabric, self.plan.lanes)
        self.progress = Progress(loop)

    def open(self, tasks: asyncio.TaskGroup, loop: VirtualTimeLoop) -> None:
        """Start all nodes."""
        self.cluster = VirtualCluster(self.plan, tasks, loop, self.network)
        for node in self.plan.fabric.nodes:
            world = VirtualWorld(self.cluster, node.name)
            self._worlds.append(world)
            store = IdentityBlockStore() if node.kind == "storage" else None
            program = make_node(world, self.plan, self.system, store, self._finished)
            self.cluster.handlers[node.name] = program.handle
            program.start()
            if isinstance(program, AgentPopulation):
                self.agents = program

    def look(self, moved_bytes: float) -> None:
        """See that the run comes further.

        Raises:
            Livelock: it does not.
        """
        self.progress.look(self.agents.done, moved_bytes)

    def stats(self) -> list[NodeStats]:
        """What every node knows."""
        return [world.stats for world in self._worlds]

    async def rest(self) -> Aftermath | None:
        """The run has come to its end."""
        return None


class _FaultyStage(_Stage):
    """The same where things break."""

    network: BreakableNetwork
    cluster: MortalCluster

    def __init__(
        self,
        plan: Plan,
        recovery: Recovery,
        system: System,
        finished: Callable[[RequestRecord], None],
        told: Told,
        rest_s: float | None,
    ) -> None:
        _Stage.__init__(self, plan, system, finished)
        self._recovery = recovery
        self._told = told
        self._rest_s = rest_s
        self._stores: dict[str, SpoilableStore] = {}
        self._indexes: dict[str, Index] = {}
        for host in plan.fabric.nodes_of("storage"):
            self._stores[host.name] = SpoilableStore()
            self._indexes[host.name] = Index()
        self._programs: dict[str, Node] = {}
        self._injector: Injector

    def build(self, loop: VirtualTimeLoop) -> None:
        lease_s = self._recovery.lease_s
        self.network = BreakableNetwork(loop.agenda, self.plan.fabric, self.plan.lanes, lease_s)
        self.progress = Progress(loop, NO_PROGRESS_S, 0)
        self._loop = loop

    def open(self, tasks: asyncio.TaskGroup, loop: VirtualTimeLoop) -> None:
        self.cluster = MortalCluster(self.plan, tasks, loop, self.network, self._restart)
        self._injector = Injector(
            self.plan, self._recovery, self.cluster, self._begin, self._stores, self._told
        )
        for node in self.plan.fabric.nodes:
            self._begin(node.name)
        self._injector.start()

    def look(self, moved_bytes: float) -> None:
        if not self.agents.under_way:
            moved_bytes = -self._loop.time()  # who waits for agents to come stands not still
        self.progress.look(self.agents.done, moved_bytes)

    def stats(self) -> list[NodeStats]:
        return [host.stats for host in self.cluster.hosts.values()]

    async def rest(self) -> Aftermath | None:
        self._injector.ends()
        if self._rest_s is None:
            return None
        while not self._injector.over:
            await self._loop.sleep_until(self._loop.time() + self._rest_s)
        await self._loop.sleep_until(self._loop.time() + self._rest_s)
        held: dict[str, float] = {}
        kept = 0
        for name, program in self._programs.items():
            if isinstance(program, EngineNode) and self.cluster.hosts[name].alive:
                held |= program.held()
                kept += program.kept
            if isinstance(program, FailoverScheduler):
                held["records of the scheduler"] = len(program.ledger.records)
        held["registered regions"] = len(self.cluster.memory) - kept
        held["transfers under way"] = 0.0 if self.network.idle else 1.0
        nics = self.network.counters(self._loop.time()).nics
        sent: dict[str, tuple[float, float]] = {}
        for nic in self.plan.fabric.nics:
            books = (self.cluster.completed_bytes, self.cluster.aborted_bytes)
            told = sum(book.get(end.name, 0.0) for book in books for end in nic.ends)
            sent[nic.name] = (nics[nic.name][0], told)
        return Aftermath({name: amount for name, amount in held.items() if amount}, sent)

    def _begin(self, node: str) -> None:
        """A node's next life."""
        world = self.cluster.begin(node)
        program = make_node(
            world,
            self.plan,
            self.system,
            self._stores.get(node),
            self._done,
            self._told,
            self._indexes.get(node),
        )
        self._programs[node] = program
        self.cluster.hosts[node].handle = program.handle
        program.start()
        if isinstance(program, AgentPopulation):
            self.agents = program

    def _restart(self, node: str, _reason: str) -> None:
        self.cluster.kill(node)
        self._begin(node)

    def _done(self, record: RequestRecord) -> None:
        self._finished(record)
        if record.done_s is not None or record.error is not None:
            self._injector.done(self.agents.done + 1)


async def _simulate(
    stage: _Stage, sample_s: float, sampled: Callable[[CounterSample], None]
) -> VirtualRun:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    stage.build(loop)
    network = stage.network
    opened = False
    ending: Ending | None = None
    last: CounterSample | None = None
    aftermath: Aftermath | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            loop.set_exception_handler(on_callback_error(tasks))
            stage.open(tasks, loop)
            opened = True

            def sample() -> None:
                if ending is not None:
                    return
                counters = network.counters(loop.time())
                sampled(counters)
                moved = sum(out for out, _ in counters.nics.values())
                stage.look(moved)
                # a sampler alone must not keep a deadlocked run alive
                if loop.busy():
                    loop.call_later(sample_s, sample)

            with time_has_to_pass(loop):
                sample()
                ending = await stage.agents.completed
                last = network.counters(loop.time())
                aftermath = await stage.rest()
            raise _Over
    except* _Over:
        pass
    except* asyncio.CancelledError:
        pass  # asyncio's answer to Ctrl-C
    except* Exception as group:
        cause = first_cause(group)
        # no frame of compiled code tells whose it is
        if name := failing_node(cause) or (stage.cluster.failed if opened else None):
            cause.add_note(f"in node {name}")
        raise
    finally:
        loop.set_exception_handler(None)
    stats = stage.stats()
    for known in stats:
        if bus := stage.cluster.buses.get(known.node):
            known.dram_bytes = bus.moved_bytes
    return VirtualRun(
        last or network.counters(loop.time()),
        stats,
        ending is not None,
        loop.events(),
        ending or stage.agents.so_far("broken off"),
        aftermath,
    )
