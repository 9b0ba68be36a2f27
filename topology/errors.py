"""The errors of this package.

TopologyError
├── CommandError         a program we ran failed
├── SandboxError         the private namespaces could not be made or are missing
└── SwitchError          Open vSwitch is not as the plan says
"""

from __future__ import annotations

from collections.abc import Sequence


class TopologyError(RuntimeError):
    """Root of all errors raised while building or reading the emulated network."""


class CommandError(TopologyError):
    """A program failed; the message holds its command line and what it said."""

    def __init__(self, argv: Sequence[str], returncode: int, said: str) -> None:
        super().__init__(f"{' '.join(argv)} failed with {returncode}: {said.strip()}")


class SandboxError(TopologyError):
    """The private namespaces could not be made, or the caller is outside them."""


class SwitchError(TopologyError):
    """Open vSwitch did not take a setting that the fabric depends on."""
