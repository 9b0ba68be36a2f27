"""GPU times of a plug-in: what it has takes the place of what the model's arithmetic says."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from plan.deployment import GpuSpec, ModelSpec
from plan.errors import PluginError
from plan.plugins import Caller, Plugin, load

TIMES = ("prefill_layer_s", "own_layer_s", "expert_layer_s", "attention_s", "decode_step_s")
"""The methods that a plug-in may have: those of `nodes.timing.compute` by the same names, model,
GPU and expert-parallel group left out, which it is made with."""


def plugged_times(
    plugin: Plugin, model: ModelSpec, gpu: GpuSpec, ep_group: int
) -> dict[str, Callable[..., float]]:
    """Those of `TIMES` that a plug-in has; a time that is none is an error.

    Raises:
        PluginError: it cannot be loaded, or has none of them.
    """
    call = Caller(plugin)
    made: Any = call(load(plugin), model, gpu, ep_group)
    found = {name: getattr(made, name) for name in TIMES if callable(getattr(made, name, None))}
    if not found:
        raise PluginError(f"{plugin.file}: {plugin.attribute} has none of {', '.join(TIMES)}")
    return {name: partial(_time, call, function) for name, function in found.items()}


def _time(call: Caller, function: Callable[..., float], *args: object) -> float:
    seconds = call(function, *args)
    if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        call.refuse(function, seconds, "is no time in seconds")
    return seconds
