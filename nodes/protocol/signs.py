"""Signs of life: every node of a run with recovery gives them, as long as it lives."""

from __future__ import annotations

from nodes.protocol.messages import Alive
from nodes.protocol.world import World


async def give_signs(world: World, scheduler: str, every_s: float) -> None:
    """Say to the scheduler that this life goes on; never ends."""
    while True:
        world.send(scheduler, Alive(world.node, world.life))
        await world.clock.sleep_until(world.clock.now() + every_s)
