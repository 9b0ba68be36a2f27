"""The compared systems (paper section 7) by name."""

from __future__ import annotations

from plan.deployment import System

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(name="basic", layerwise=False, paths="pe", scheduler="round_robin"),
        System(name="layerwise", paths="pe", scheduler="round_robin"),
        System(name="dram-pool", paths="pe", dram_pool=True),
        System(name="dualpath-rr", scheduler="round_robin"),
        System(name="dualpath"),
        System(name="oracle", io=False),
    )
}
"""The compared systems (paper section 4): each adds one feature to the one before, but for
`dram-pool`, which puts memory in front of storage instead of a second path, and `oracle`."""
