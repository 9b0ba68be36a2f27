"""How large frames are: as large as lanes bear, for what forwarding costs goes by the frame.

A burst of a high lane waits for the frame that is already leaving, and a rate is kept to a frame.
So a frame may take no longer, in model time, than a bound at the slowest port of its plane. Less
than `LEAST_BYTES` no machine could forward in time.
"""

from __future__ import annotations

import msgspec

from plan.fabric import Fabric, Plane
from plan.scale import Scale

LONGEST_S: dict[Plane, float] = {"compute": 0.7e-3, "storage": 5e-3}
"""Model seconds that a frame may take. Collectives are on the compute plane: their bursts take ten
times as long. Nothing on the storage plane waits for a frame but the next one."""
LEAST_BYTES, MOST_BYTES, STEP_BYTES = 9000, 65000, 1000


def with_frames(fabric: Fabric, scale: Scale) -> Fabric:
    """The fabric with the largest MTU that the bounds allow."""
    rates_bps = [(nic.plane, nic.rate_bps) for nic in fabric.nics]
    rates_bps += [(link.plane, link.rate_bps) for link in fabric.links]
    allowed = min(
        scale.wire_bytes(LONGEST_S[plane] * rate_bps / 8)
        for plane, rate_bps in rates_bps
        if plane in LONGEST_S
    )
    mtu = int(min(max(allowed, LEAST_BYTES), MOST_BYTES)) // STEP_BYTES * STEP_BYTES
    return msgspec.structs.replace(fabric, mtu=mtu)
