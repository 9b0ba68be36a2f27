"""The schedulers' policies, by name or of plug-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nodes.scheduling import read_sides
from nodes.scheduling.inter_engine import DualPath
from nodes.scheduling.intra_engine import Packing, packing
from nodes.scheduling.plugged import PluggedPacking, PluggedPolicy
from nodes.scheduling.policy import InterEnginePolicy
from nodes.scheduling.read_sides import ReadSide, unless_pooled
from nodes.scheduling.round_robin import RoundRobin
from plan.deployment import SchedulerConstants, System
from plan.plugins import Plugin

NO_PLUGINS: Mapping[str, Plugin] = MappingProxyType({})

MakePolicy = Callable[[System, SchedulerConstants], InterEnginePolicy]


def _dualpath(system: System, constants: SchedulerConstants) -> InterEnginePolicy:
    return DualPath(constants, _read_side(system, read_sides.shorter_queue))


def _round_robin(system: System, _constants: SchedulerConstants) -> InterEnginePolicy:
    return RoundRobin(_read_side(system, read_sides.in_turn))


def _read_side(system: System, either: ReadSide) -> ReadSide:
    """Args: either: how a policy chooses where a read may be on either side."""
    sides = {"pe": read_sides.prefill_side, "dual": either, "split": read_sides.split}
    return unless_pooled(sides[system.paths])


POLICIES: dict[str, MakePolicy] = {"dualpath": _dualpath, "round_robin": _round_robin}
"""What `System.scheduler` may name."""


def inter_engine_policy(
    system: System, constants: SchedulerConstants, plugins: Mapping[str, Plugin] = NO_PLUGINS
) -> InterEnginePolicy:
    """The system's policy, built in or of a plug-in.

    Raises:
        PluginError: the plug-in cannot be loaded, or is no policy.
    """
    if plugin := plugins.get(system.scheduler):
        return PluggedPolicy(plugin, system, constants)
    return POLICIES[system.scheduler](system, constants)


def forward_batches(
    system: System,
    constants: SchedulerConstants,
    predict: Callable[[int, int], float],
    plugins: Mapping[str, Plugin] = NO_PLUGINS,
) -> Packing:
    """How the system forms forward batches, built in or of a plug-in.

    Raises:
        PluginError: the plug-in cannot be loaded, or makes no packing.
    """
    if system.packing is not None:
        return PluggedPacking(plugins[system.packing], constants, predict)
    return packing(system, constants, predict)
