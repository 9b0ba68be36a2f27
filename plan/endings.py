"""How a process ended, in words."""

from __future__ import annotations

import signal
from pathlib import Path

HINTS = {signal.SIGKILL: "out of memory?", signal.SIGBUS: "disk full?"}
"""What the kernel sends a signal for when no user does."""


def ending(name: str, status: int, log: Path | None = None) -> str:
    """Say how a process ended unasked, and where to look.

    Args:
        status: as `subprocess` has it: below 0 it was a signal.
        log: what it wrote to its standard error.
    """
    if status < 0:
        how = f"was killed by {_signal(-status)}"
    else:
        how = f"ended early, with status {status}"
    return f"{name} {how}" + (f"; see {log}" if log else "")


def _signal(number: int) -> str:
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    return f"{known.name} ({HINTS[known]})" if known in HINTS else known.name
