"""How many nodes this machine can emulate: each is a process with its interpreter and memory."""

from __future__ import annotations

import os

from plan.errors import ScenarioError
from topology import machine

NODE_BYTES = 50e6
"""Of a node's process before it has any blocks."""
START_S = 0.5
"""Of a processor until a node is ready."""
READY_S = 60.0
"""Wall seconds after which a node that is not ready ends the run."""


def check_nodes(shape: str, nodes: int) -> None:
    """Refuse more nodes than this machine could start.

    Args:
        shape: of the cluster, as the user knows it.
        nodes: all of its processes.

    Raises:
        ScenarioError: it would not do; says what would.
    """
    free, cores = machine.free_bytes(), len(os.sched_getaffinity(0))
    by_memory, by_time = int(free / NODE_BYTES), int(cores * READY_S / START_S)
    if nodes > by_memory:
        why = f"needs {nodes * NODE_BYTES / 1e9:.3g} GB of memory, {free / 1e9:.3g} are free"
    elif nodes > by_time:
        needed_s = nodes * START_S / cores
        why = f"needs {needed_s:.0f} s to start on {cores} cores, {READY_S:g} are given"
    else:
        return
    most = max(1, min(by_memory, by_time))
    remedy = f"write at most {most} nodes in all, or engine: simulate"
    raise ScenarioError("cluster", shape, remedy, f"emulated, {why}")
