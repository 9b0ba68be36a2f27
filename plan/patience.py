"""How long a run waits in vain before it takes what it waits for to be dead, in wall seconds.

Both times grow with the dilation: what is computed takes longer by it, and queues of the same
bytes drain more slowly.
"""

from __future__ import annotations

from plan.scale import Scale

UNACKNOWLEDGED_S = 15.0
"""A connection is dead if its peer acknowledges nothing for so long after data was sent again:
three times the shortest time to that, so a path may be cut for some ten seconds."""

STANDSTILL_S = 45.0
"""A run is dead if for so long no request is done, no byte reaches a node and nothing is
computed. Longer, so that a dead connection, which says more, is told first."""


def unacknowledged_s(scale: Scale) -> float:
    """See `UNACKNOWLEDGED_S`."""
    return UNACKNOWLEDGED_S * max(1.0, scale.dilation)


def standstill_s(scale: Scale) -> float:
    """See `STANDSTILL_S`."""
    return STANDSTILL_S * max(1.0, scale.dilation)
