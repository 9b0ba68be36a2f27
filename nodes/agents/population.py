"""The agent population: every agent replays its trajectory, turn after turn.

Offline (paper section 5): all agents start together and a turn follows the last one at
once, zero tool time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodes.agents.context import Agent
from nodes.protocol.messages import Done, Message, Submit
from nodes.protocol.world import World
from plan.model import Plan
from plan.records import RequestRecord
from plan.workload import Trajectory


class AgentPopulation:
    """All agents of a run.

    Args:
        finished: called with every request's record, as it is done.

    Attributes:
        total: requests in all; done: how many are; completed: resolved when all are.
    """

    def __init__(
        self, world: World, plan: Plan, scheduler: str, finished: Callable[[RequestRecord], None]
    ) -> None:
        self._world = world
        self._plan = plan
        self._scheduler = scheduler
        self._finished = finished
        self._submitted = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.total = plan.requests
        self.completed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done = 0

    def start(self) -> None:
        for number, trajectory in enumerate(self._plan.trajectories):
            self._world.spawn(self._replay(number, trajectory))

    def handle(self, message: Message) -> None:
        if not isinstance(message, Done):
            raise TypeError(f"agents cannot handle {message!r}")
        self._finished(message.record)
        self._waiting.pop(message.record.request).set_result(None)
        self.done += 1
        if self.done == self.total:
            self.completed.set_result(None)

    async def _replay(self, number: int, trajectory: Trajectory) -> None:
        agent = Agent(number, trajectory, self._plan.layout.tokens)
        for index, turn in enumerate(trajectory.turns):
            self._submitted += 1
            request = agent.request(self._submitted, index, turn, self._world.clock.now())
            done = self._waiting[request.number] = asyncio.get_running_loop().create_future()
            self._world.send(self._scheduler, Submit(request))
            await done
