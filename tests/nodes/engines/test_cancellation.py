"""Claims: a request may be cancelled at any moment; its nodes are then as if it had ended."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.engines.decode_node import DecodeNode
from nodes.engines.prefill_node import PrefillNode
from nodes.protocol.messages import Assign
from nodes.roles import make_node
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.identity_store import IdentityBlockStore
from nodes.worlds.virtual.loop import VirtualTimeLoop, run
from nodes.worlds.virtual.world import VirtualCluster, VirtualWorld
from plan.deployment import System
from plan.model import Plan
from plan.records import NodeStats, RequestRecord
from tests.examples import tries
from tests.nodes.engines.test_prefill import with_prefill_hbm
from tests.nodes.plans import BASIC, DRAM_POOL, DUAL, SYSTEMS, TOKENS, agent, make_plan
from tests.nodes.simulated import simulate
from tests.nodes.test_virtual_run import jct_s, plans

SETTLED_S = 1e4
"""Long after all that can end has ended, model seconds."""

_Node = TypeVar("_Node", PrefillNode, DecodeNode)


class Cluster:
    """A cluster in virtual time, some of whose requests are cancelled on both their nodes.

    Args:
        at_s: request -> when, model seconds.

    Attributes:
        held: at the end, of every buffer, every HBM and of all pools, what is not free.
        regions: registered ones but for those of pools.
        queued: disk read queues, tokens.
    """

    held: list[float]
    regions: int
    queued: list[int]

    def __init__(self, plan: Plan, system: System, at_s: dict[int, float]) -> None:
        self.records: list[RequestRecord] = []
        self.cancelled: set[int] = set()
        self.stats: list[NodeStats] = []
        self._tasks: defaultdict[int, list[asyncio.Task[None]]] = defaultdict(list)
        self._prefill: list[PrefillNode] = []
        self._decode: list[DecodeNode] = []
        with ExitStack() as patches:
            patches.enter_context(self._noting(PrefillNode))
            patches.enter_context(self._noting(DecodeNode))
            run(self._serve(plan, system, at_s))

    def _settled(self) -> None:
        """Look what is left before the end of the run ends everything."""
        budgets = [node._room for node in self._prefill] + [node._buffers for node in self._decode]
        budgets += [engine.hbm for node in self._prefill for engine in node._engines.values()]
        budgets += [engine.hbm for node in self._decode for engine in node._engines.values()]
        self.held = [budget.capacity - budget.free for budget in budgets]
        pools = [node._pool for node in self._decode]
        pooled = [entry for pool in pools for entry in pool._entries.values()]
        self.held += [self._pool_rows - sum(p.free for p in pools) - sum(e.rows for e in pooled)]
        self.regions = len(self._cluster.regions) - len(pooled)
        nodes: list[PrefillNode | DecodeNode] = [*self._prefill, *self._decode]
        self.queued = [node._storage.queued_tokens for node in nodes]

    def _cancel(self, request: int) -> None:
        for task in self._tasks[request]:
            if not task.done():
                task.cancel()
                self.cancelled.add(request)

    async def _serve(self, plan: Plan, system: System, at_s: dict[int, float]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        async with asyncio.TaskGroup() as tasks:
            network = FlowNetwork(loop.agenda, plan.fabric, plan.lanes)
            self._cluster = VirtualCluster(plan, tasks, loop, network)
            for node in plan.fabric.nodes:
                world = VirtualWorld(self._cluster, node.name)
                store = IdentityBlockStore() if node.kind == "storage" else None
                program = make_node(world, plan, system, store, self.records.append)
                self._cluster.handlers[node.name] = program.handle
                self.stats.append(world.stats)
                if isinstance(program, PrefillNode):
                    self._prefill.append(program)
                if isinstance(program, DecodeNode):
                    self._decode.append(program)
                program.start()
            self._pool_rows = sum(node._pool.free for node in self._decode)
            for request, when_s in at_s.items():
                loop.call_at(when_s, self._cancel, request)
            await loop.sleep_until(SETTLED_S)
            self._settled()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    @contextmanager
    def _noting(self, kind: type[_Node]) -> Iterator[None]:
        """Which task serves which request."""
        serve: Callable[[_Node, Assign], Awaitable[None]] = kind._serve

        async def noted(node: _Node, assign: Assign) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks[assign.request.number].append(task)
            await serve(node, assign)

        with patch.object(kind, "_serve", noted):
            yield


def clean(cluster: Cluster) -> bool:
    """Whether nobody holds anything any more."""
    return not (any(cluster.held) or cluster.regions or any(cluster.queued))


@st.composite
def stories(draw: st.DrawFn) -> tuple[Plan, System, dict[int, float]]:
    """A plan, a system, and when which requests are cancelled."""
    plan, system = draw(plans()), draw(st.sampled_from(SYSTEMS))
    requests = sum(len(trajectory.turns) for trajectory in plan.trajectories)
    moments = st.dictionaries(st.integers(1, requests), st.floats(0.0, 1.0), min_size=1)
    end_s = jct_s(plan, system)
    return plan, system, {number: at * end_s for number, at in draw(moments).items()}


@given(stories())
@tries(25)
def test_whatever_is_cancelled_whenever_all_is_given_back_and_the_others_complete(
    story: tuple[Plan, System, dict[int, float]],
) -> None:
    plan, system, at_s = story
    cluster = Cluster(plan, system, at_s)
    assert clean(cluster)
    assert sum(stats.blocks_corrupt for stats in cluster.stats) == 0
    turns = Counter(record.agent for record in cluster.records)
    through = sum(turns[n] == len(agent.turns) for n, agent in enumerate(plan.trajectories))
    assert through >= len(plan.trajectories) - len(cluster.cancelled)


LONG = agent((3000, 400), preloaded=20_000)


@pytest.mark.parametrize("system", [BASIC, DUAL, DRAM_POOL], ids=lambda system: system.name)
@pytest.mark.parametrize("share", [n / 16 for n in range(1, 16)])
def test_at_every_part_of_its_way_a_request_can_be_cancelled(system: System, share: float) -> None:
    """Of two equal requests the second, after a part of the time that it takes."""
    plan = make_plan([LONG, LONG], snic_bps=5e9)
    (whole,) = (r for r in simulate(plan, system, 1.0).records if r.request == 2)
    assert whole.assigned_s is not None
    assert whole.done_s is not None
    when_s = whole.assigned_s + share * (whole.done_s - whole.assigned_s)
    cluster = Cluster(plan, system, {2: when_s})
    assert cluster.cancelled == {2}
    assert [record.request for record in cluster.records] == [1]
    assert clean(cluster)


def test_who_is_cancelled_while_it_waits_for_hbm_holds_up_nobody() -> None:
    """Three turns come together to an HBM that holds one of them; the second is cancelled."""
    plan = with_prefill_hbm(make_plan([agent((640, 2))] * 3), 700)
    starts = sorted(r.prefill_start_s or 0.0 for r in simulate(plan, BASIC, 1.0).records)
    cluster = Cluster(plan, BASIC, {2: (starts[0] + starts[1]) / 2})
    assert sorted(record.request for record in cluster.records) == [1, 3]
    assert clean(cluster)


def test_a_run_in_which_nothing_is_cancelled_leaves_nothing_behind_either() -> None:
    cluster = Cluster(make_plan([LONG, agent((3 * TOKENS, 1))]), DUAL, {})
    assert len(cluster.records) == 2
    assert clean(cluster)
