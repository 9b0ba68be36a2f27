"""A node's DRAM bandwidth: half duplex, so reads and writes add up (paper section 1).

Every transfer that starts or ends in the node's DRAM takes its turn on the bus: its bytes
pass there while they are on the wire, but not before those that came earlier have passed.
"""

from __future__ import annotations

from plan.fabric import Fabric


class DramBus:
    """The DRAM of one node.

    Args:
        bytes_per_s: bandwidth M, model bytes/s, reads and writes together.

    Attributes:
        moved_bytes: what has been reserved so far.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0
        self.moved_bytes = 0.0

    def reserve(self, size_bytes: float, now_s: float) -> float:
        """Queue `size_bytes` behind what is on the bus; returns when their turn comes."""
        turn_s = max(self._free_s, now_s)
        self.moved_bytes += size_bytes
        self._free_s = turn_s + size_bytes / self._bytes_per_s
        return turn_s


def dram_ends(fabric: Fabric) -> dict[str, str]:
    """The node behind every end that is in the DRAM of a prefill or decode node."""
    engines = {node.name for node in fabric.engine_nodes}
    return {
        end.name: nic.node
        for nic in fabric.nics
        for end in nic.ends
        if nic.node in engines and nic.kind != "mgmt" and end.host == nic.node
    }
