"""What a run takes of this machine's memory, estimated before it takes it."""

from __future__ import annotations

from plan.errors import ScenarioError
from topology import machine

TURN_BYTES = 200
"""Of a trajectory's turn, whether it is replayed or not."""
REQUEST_BYTES = 3000
"""Of a turn that is replayed: planned, served and reported."""
PROCESS_BYTES = 150e6
"""Of a process that simulates, before it has any work."""


def check_agents(agents: int, turns: float, replayed: float) -> None:
    """Refuse more agents than memory holds.

    Args:
        agents: at least so many trajectories are drawn or read.
        turns: of a trajectory, in the mean; replayed: so many of them are served.

    Raises:
        ScenarioError: it would not do; says what would.
    """
    each = turns * TURN_BYTES + replayed * REQUEST_BYTES
    free = machine.free_bytes()
    most = max(1, int(free / each))
    if agents > most:
        problem = f"need some {agents * each / 1e9:.3g} GB of memory, {free / 1e9:.3g} are free"
        remedy = f"write at most {most} agents, or fewer turns"
        raise ScenarioError("workload.agents", agents, remedy, problem)


def check_jobs(jobs: int) -> None:
    """Refuse more points at once than memory holds.

    Raises:
        ScenarioError: as `check_agents`.
    """
    free = machine.free_bytes()
    most = max(1, int(free / PROCESS_BYTES))
    if jobs > most:
        problem = f"at once need {jobs * PROCESS_BYTES / 1e9:.3g} GB of memory"
        raise ScenarioError("--jobs", jobs, f"write at most {most}", problem)
