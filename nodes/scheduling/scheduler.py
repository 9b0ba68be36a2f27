"""The central scheduler: queues, what is known of every engine, and who gets what.

The rules are in `inter_engine`. A request is dispatched once both its PE and its DE are
chosen. Under round robin (the baseline) both are taken in turn as requests come.
"""

from __future__ import annotations

from collections import deque
from itertools import cycle

from nodes.protocol.messages import Assign, Fetch, Message, Request, Submit
from nodes.protocol.world import World
from nodes.scheduling.inter_engine import (
    EngineLoad,
    choose_des,
    choose_group,
    choose_pe,
    pe_share,
    split_share,
)
from nodes.timing.timing import timing_of
from plan.deployment import System
from plan.fabric import NodeKind
from plan.model import Plan
from plan.names import engine_name, node_of


class _Group:
    """Engines that fetch together."""

    def __init__(self, number: int, engines: list[EngineLoad]) -> None:
        self.number = number
        self.engines = engines
        self.private: deque[Request] = deque()
        self.tokens = 0


class SchedulerNode:
    """One per cluster."""

    def __init__(self, world: World, plan: Plan, system: System) -> None:
        self._world = world
        self._plan = plan
        self._system = system
        self._tokens = plan.layout.tokens
        self._pe_groups = _groups(plan, "prefill")
        self._de_groups = _groups(plan, "decode")
        self._fetching: dict[int, None] = {}  # groups whose fetch is unanswered, oldest first
        self._read_queues = {node.name: 0 for node in plan.fabric.nodes}
        self._pe_queue: deque[Request] = deque()
        self._de_queue: deque[Request] = deque()
        self._chosen_pe: dict[int, EngineLoad] = {}
        self._chosen_de: dict[int, EngineLoad] = {}
        self._on_pe: dict[int, tuple[EngineLoad, int]] = {}
        self._on_de: dict[int, tuple[EngineLoad, int, _Group]] = {}
        self._de_group_of = {
            engine.node: group for group in self._de_groups.values() for engine in group.engines
        }
        self._home: dict[int, str] = {}  # trajectory -> node whose DRAM pool holds it
        self._next_pe = cycle([e for g in self._pe_groups.values() for e in g.engines])
        self._next_de = cycle([e for g in self._de_groups.values() for e in g.engines])
        self._next_share = cycle((1.0, 0.0))
        self._last_share: dict[tuple[str, str], float] = {}

    def start(self) -> None:
        """The scheduler acts on messages only."""

    def handle(self, message: Message) -> None:
        match message:
            case Submit():
                self._submitted(message.request)
            case Fetch():
                self._fetched(message)
            case _:
                raise TypeError(f"the scheduler cannot handle {message!r}")

    def _submitted(self, request: Request) -> None:
        if self._system.scheduler == "round_robin":
            self._dispatch(request, next(self._next_pe), next(self._next_de))
            return
        self._pe_queue.append(request)
        self._de_queue.append(request)
        self._answer_fetches()

    def _fetched(self, fetch: Fetch) -> None:
        for report in fetch.reports:
            self._read_queues[report.node] = report.read_queue
            for number in report.finished:
                self._finished(number, report.node)
            for trajectory, held in report.pool:
                self._pooled(trajectory, report.node, held=held)
        if self._system.scheduler == "dualpath":
            self._fetching[fetch.group] = None
            self._answer_fetches()

    def _finished(self, number: int, node: str) -> None:
        if node in self._de_group_of:
            engine, tokens, group = self._on_de.pop(number)
            group.tokens -= tokens
        else:
            engine, tokens = self._on_pe.pop(number)
        engine.remove(tokens)

    def _pooled(self, trajectory: int, node: str, *, held: bool) -> None:
        if held:
            self._home[trajectory] = node
        elif self._home.get(trajectory) == node:
            del self._home[trajectory]

    def _answer_fetches(self) -> None:
        """Give every fetching group what it can take; a fetch stays open if that is nothing."""
        for number in list(self._fetching):
            group = self._pe_groups.get(number)
            given = self._fill_pes(group) if group else self._fill_des(self._de_groups[number])
            if given:
                del self._fetching[number]

    def _fill_pes(self, group: _Group) -> bool:
        constants = self._plan.constants
        given = False
        while self._pe_queue:
            engine = choose_pe(
                group.engines, self._read_queues, constants.alpha_tokens, constants.beta_tokens
            )
            if engine is None:
                break
            request = self._pe_queue.popleft()
            engine.add(request.prompt)
            self._chosen_pe[request.number] = engine
            self._dispatch_if_chosen(request)
            given = True
        return given

    def _fill_des(self, group: _Group) -> bool:
        while self._de_queue:
            request = self._de_queue.popleft()
            chosen = self._choose_group(request)
            chosen.private.append(request)
            chosen.tokens += request.total
        if not group.private:
            return False
        engines = choose_des(
            [request.total for request in group.private],
            group.engines,
            [self._home.get(request.agent) for request in group.private],
        )
        for engine in engines:
            request = group.private.popleft()
            self._chosen_de[request.number] = engine
            self._dispatch_if_chosen(request)
        return bool(engines)

    def _choose_group(self, request: Request) -> _Group:
        """The group of the trajectory's home if that has the HBM, else the least loaded."""
        home = self._home.get(request.agent)
        for engine in self._de_group_of[home].engines if home else ():
            if engine.node == home and engine.free >= request.total:
                return self._de_group_of[home]
        return self._de_groups[choose_group({n: g.tokens for n, g in self._de_groups.items()})]

    def _dispatch_if_chosen(self, request: Request) -> None:
        if request.number in self._chosen_pe and request.number in self._chosen_de:
            pe = self._chosen_pe.pop(request.number)
            de = self._chosen_de.pop(request.number)
            self._on_pe[request.number] = (pe, request.prompt)
            self._on_de[request.number] = (de, request.total, self._de_group_of[de.node])
            self._send(request, pe, de)

    def _dispatch(self, request: Request, pe: EngineLoad, de: EngineLoad) -> None:
        """Round robin: nothing is weighed, so nothing waits."""
        group = self._de_group_of[de.node]
        pe.add(request.prompt)
        de.add(request.total)
        group.tokens += request.total
        self._on_pe[request.number] = (pe, request.prompt)
        self._on_de[request.number] = (de, request.total, group)
        self._send(request, pe, de)

    def _send(self, request: Request, pe: EngineLoad, de: EngineLoad) -> None:
        blocks = request.cached // self._tokens
        if self._home.get(request.agent) == de.node:
            pe_blocks = 0  # the hits are in the decode node's DRAM
        else:
            pe_blocks = round(blocks * self._pe_share(pe, de, blocks * self._tokens))
            # until the nodes' next reports, what was just sent there counts as queued
            self._read_queues[pe.node] += pe_blocks * self._tokens
            self._read_queues[de.node] += (blocks - pe_blocks) * self._tokens
        assign = Assign(request, pe.name, de.name, pe_blocks, self._world.clock.now())
        self._world.send(node_of(pe.name), assign)
        self._world.send(node_of(de.name), assign)

    def _pe_share(self, pe: EngineLoad, de: EngineLoad, tokens: int) -> float:
        queues = self._read_queues[pe.node], self._read_queues[de.node]
        if self._system.paths == "pe" or not tokens:
            return 1.0
        if self._system.paths == "split":
            return split_share(*queues, tokens)
        if self._system.scheduler == "round_robin":
            return self._share_in_turn(pe.name, de.name)
        return pe_share(*queues)

    def _share_in_turn(self, pe: str, de: str) -> float:
        """Sides in turn, for every pair of engines: in turn over all requests alone, half of
        the engines would always read on one side where their number is even."""
        last = self._last_share.get((pe, de))
        share = next(self._next_share) if last is None else 1.0 - last
        self._last_share[pe, de] = share
        return share


def _groups(plan: Plan, kind: NodeKind) -> dict[int, _Group]:
    gpus = {node.name: node.gpus for node in plan.fabric.nodes_of(kind)}
    capacity = float("inf")
    if kind == "decode":
        capacity = timing_of(plan, kind).kv_capacity
    return {
        number: _Group(
            number,
            [
                EngineLoad(engine_name(node, gpu), node, capacity=capacity)
                for node in nodes
                for gpu in range(gpus[node])
            ],
        )
        for number, nodes in enumerate(plan.groups)
        if nodes[0] in gpus
    }
