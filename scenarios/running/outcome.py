"""How a run ends: exit statuses, and the one line that says what went wrong."""

from __future__ import annotations

import sys

DONE, FAILED, WRONG, LACKING, DOUBTED, BROKEN_OFF = 0, 1, 2, 3, 4, 130
"""Exit statuses; `scenarios.run` says what they mean."""


def fail(status: int, error: Exception) -> int:
    """Say in one line what went wrong; returns the exit status."""
    print(f"error: {error}", file=sys.stderr)
    return status
