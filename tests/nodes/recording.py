"""A node's world in virtual time whose peers only take notes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from nodes.protocol.messages import Message
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.loop import VirtualTimeLoop
from nodes.worlds.virtual.world import VirtualCluster, VirtualWorld
from plan.model import Plan

Sent = list[tuple[str, Message]]
"""(destination, message), in order of arrival: `message_s` after they were sent."""


@asynccontextmanager
async def recorded(plan: Plan, node: str) -> AsyncIterator[tuple[VirtualWorld, Sent]]:
    """The world of `node`, and what it has sent so far."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    sent: Sent = []
    async with asyncio.TaskGroup() as tasks:
        cluster = VirtualCluster(
            plan, tasks, loop, FlowNetwork(loop.agenda, plan.fabric, plan.lanes)
        )
        for other in plan.fabric.nodes:
            cluster.handlers[other.name] = partial(_note, sent, other.name)
        yield VirtualWorld(cluster, node), sent


def _note(sent: Sent, to: str, message: Message) -> None:
    sent.append((to, message))
