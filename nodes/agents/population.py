"""The agent population: every agent replays its trajectory, turn after turn (paper section 5).

Offline all agents start together; online they arrive, each with a KV identity of its own, which
is its number. A turn follows the last one at once, or when its agent has thought. The run ends
when all agents are done, or when its plan's end has come: then nothing is asked any more, and
what is under way is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodes.agents.context import Agent
from nodes.agents.end_rule import EndRule
from nodes.protocol.messages import (
    Done,
    FirstToken,
    Left,
    Message,
    Recount,
    Request,
    Submit,
    Unfinished,
)
from nodes.protocol.world import World
from plan.end import End
from plan.fabric import storage_host
from plan.model import Plan
from plan.records import EndedBy, Ending, RequestRecord
from plan.workload import Trajectory

LOOK_S = 1.0
"""Model seconds between two looks at whether the run is over."""


class AgentPopulation:
    """All agents of a run.

    Args:
        finished: called with every request's record, as it is done; at the end, with those of
            the requests that are not.

    Attributes:
        total: requests in all, None where agents come without end; done: how many are.
        completed: resolved with how the run ended.
    """

    def __init__(
        self, world: World, plan: Plan, scheduler: str, finished: Callable[[RequestRecord], None]
    ) -> None:
        self._world = world
        self._plan = plan
        self._scheduler = scheduler
        self._storage = [host.name for host in plan.fabric.nodes_of("storage")]
        self._finished = finished
        self._rule = EndRule(plan.end or End())
        self._coming = True
        self._arrived = 0
        self._alive: dict[int, None] = {}  # agents, in the order in which they came
        self._requests = 0
        self._waiting: dict[int, tuple[Request, asyncio.Future[None]]] = {}
        self.total = plan.requests
        self.completed: asyncio.Future[Ending] = asyncio.Future()
        self.done = 0
        self._last_done_s = 0.0

    def start(self) -> None:
        if self._plan.arrivals is None:
            for arrival in self._plan.arriving():
                self._begin(arrival.number)
            self._coming = False
        else:
            self._world.spawn(self._arrive())
        if self._plan.end is not None:
            self._world.spawn(self._watch(self._plan.end))

    def handle(self, message: Message) -> None:
        match message:
            case FirstToken():
                self._rule.first_token(message.request, message.first_s)
            case Done():
                self._request_done(message.record)
            case Recount():
                waiting = tuple(request for request, _ in self._waiting.values())
                self._world.send(message.scheduler, Unfinished(waiting))
            case _:
                raise TypeError(f"agents cannot handle {message!r}")

    @property
    def under_way(self) -> int:
        """Requests that are asked for and not done."""
        return len(self._waiting)

    def so_far(self, ended_by: EndedBy) -> Ending:
        """The ending, if the run ended now; what is all served ended with its last request."""
        now_s = self._world.clock.now()
        if ended_by == "all served":
            now_s = self._last_done_s
        return Ending(
            ended_by=ended_by,
            from_s=self._rule.measured_from_s(ended_by, now_s),
            to_s=now_s,
            under_way=len(self._waiting),
            agents=self._arrived,
            agents_done=self._arrived - len(self._alive),
        )

    async def _arrive(self) -> None:
        for number, at_s in self._plan.arriving():
            await self._world.clock.sleep_until(at_s)
            if self.completed.done():
                return
            self._begin(number)
        self._coming = False
        self._end_if_served()

    def _begin(self, number: int) -> None:
        self._arrived += 1
        self._alive[number] = None
        self._world.spawn(self._replay(number, self._plan.trajectory(number)))

    async def _replay(self, number: int, trajectory: Trajectory) -> None:
        clock, turns = self._world.clock, trajectory.turns
        agent = Agent(number, trajectory, self._plan.layout.tokens)
        for index, gap_s in enumerate(self._plan.gaps_s(number, turns)):
            if gap_s:
                await clock.sleep_until(clock.now() + gap_s)
            if self.completed.done():
                return
            self._requests += 1
            request = agent.request(self._requests, index, turns[index], clock.now())
            await self._ask(request)
        self._left(number)

    def _ask(self, request: Request) -> asyncio.Future[None]:
        """Submit a request; done when it is."""
        done: asyncio.Future[None] = asyncio.Future()
        self._waiting[request.number] = request, done
        self._rule.submitted(request.number, request.submit_s)
        self._world.send(self._scheduler, Submit(request))
        return done

    def _request_done(self, record: RequestRecord) -> None:
        if self.completed.done():
            return  # it was told as under way
        if record.request not in self._waiting:
            self._world.stats.late_messages += 1
            return  # another attempt at it was done before
        self._finished(record)
        self.done += 1
        self._last_done_s = max(self._last_done_s, record.done_s or 0.0)
        if record.first_s is not None:
            self._rule.first_token(record.request, record.first_s)
        self._waiting.pop(record.request)[1].set_result(None)

    def _left(self, number: int) -> None:
        """An agent has had all its turns: nobody will ask for its KV-Cache again."""
        del self._alive[number]
        self._rule.agent_done()
        self._end_if_served()
        if not self.completed.done():
            oldest = next(iter(self._alive), self._arrived)
            self._world.send(storage_host(self._storage, number), Left(number, oldest))

    def _end_if_served(self) -> None:
        if not self._coming and not self._alive and not self.completed.done():
            self.completed.set_result(self.so_far("all served"))

    async def _watch(self, end: End) -> None:
        """Look at whether the run is over every `LOOK_S`, and when its time has come."""
        clock, look = self._world.clock, 0
        last_s = float("inf") if end.after_s is None else end.after_s
        while not self.completed.done():
            look += 1
            await clock.sleep_until(min(look * LOOK_S, last_s))
            ended_by = self._rule.look(clock.now())
            if ended_by is not None and not self.completed.done():
                self._break_off(ended_by)

    def _break_off(self, ended_by: EndedBy) -> None:
        """End the run as it stands; the requests that are under way are told, and nobody waits
        for them any more."""
        self.completed.set_result(self.so_far(ended_by))
        for request, done in self._waiting.values():
            self._finished(_unfinished(request))
            done.cancel()
        self._waiting.clear()


def _unfinished(request: Request) -> RequestRecord:
    return RequestRecord(
        request=request.number,
        agent=request.agent,
        turn=request.turn,
        prompt_tokens=request.prompt,
        gen_tokens=request.gen,
        submit_s=request.submit_s,
    )
