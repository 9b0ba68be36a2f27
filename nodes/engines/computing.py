"""An engine computes while its node's program runs: for as long as that stands still, nothing goes
on, and what is not computed then is computed later."""

from __future__ import annotations

from nodes.protocol.world import Clock


async def computed(clock: Clock, end_s: float, stood_s: float) -> float:
    """Wait until what is due to end at `end_s` has been computed.

    Args:
        stood_s: how long the program had stood still when that was said.

    Returns:
        When it was due to end, what the program stood still meanwhile added, model seconds.
    """
    await clock.sleep_until(end_s)
    while clock.stood_s > stood_s:
        end_s, stood_s = end_s + clock.stood_s - stood_s, clock.stood_s
        await clock.sleep_until(end_s)
    return end_s
