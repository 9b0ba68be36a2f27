"""Compute times as engines ask for them: made once from model, GPU and expert-parallel group.

What the compute quota goes by and what computing takes are two things (paper section 4: the
quota rests on a predictor that was fitted beforehand). Here the same arithmetic stands
behind both, so predictions are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nodes.timing import compute
from nodes.timing.compute import Pair
from nodes.timing.plugged import TIMES, plugged_times
from nodes.timing.profiled import Profiled
from plan.deployment import GpuSpec, ModelSpec
from plan.fabric import NodeKind
from plan.model import Plan


class Predictor:
    """What the compute quota goes by."""

    def __init__(self, model: ModelSpec, gpu: GpuSpec) -> None:
        self._model = model
        self._gpu = gpu

    def attention_s(self, cached: int, bsz: int) -> float:
        """Attention time over all layers of `bsz` tokens behind `cached` ones, seconds."""
        return compute.attention_s(self._model, self._gpu, [(cached, bsz)])


class Truth:
    """What computing takes: the functions of `compute`, for one model on one GPU, or what the
    GPU's profile has in their place.

    Args:
        exchanges: whether a profile's AllToAlls take time, and are not traffic.
    """

    def __init__(
        self, model: ModelSpec, gpu: GpuSpec, ep_group: int, *, exchanges: bool = True
    ) -> None:
        self.prefill_layer_s = partial(compute.prefill_layer_s, model, gpu, ep_group)
        self.own_layer_s = partial(compute.own_layer_s, model, gpu)
        self.expert_layer_s = partial(compute.expert_layer_s, model, gpu, ep_group)
        self.attention_s = partial(compute.attention_s, model, gpu)
        self.decode_step_s = compute.DecodeStep(model, gpu, ep_group).seconds
        self.attended = partial(compute.attended, model)
        if gpu.profile is not None:
            profiled = Profiled(gpu.profile, model, ep_group, exchanges=exchanges)
            for name in TIMES:
                setattr(self, name, getattr(profiled, name))


class _PluggedPredictor(Predictor):
    """Goes by a plug-in's attention times, which are what attention takes."""

    def __init__(
        self, model: ModelSpec, gpu: GpuSpec, attention_s: Callable[[Sequence[Pair]], float]
    ) -> None:
        super().__init__(model, gpu)
        self._attention_s = attention_s

    def attention_s(self, cached: int, bsz: int) -> float:
        return self._attention_s([(cached, bsz)])


@dataclass(frozen=True)
class Timing:
    """What is known of the GPUs of one kind of engine.

    Attributes:
        kv_capacity: tokens whose KV-Cache fits an engine's HBM beside the weights.
    """

    kv_capacity: float
    predictor: Predictor
    truth: Truth


def timing_of(plan: Plan, kind: NodeKind) -> Timing:
    """The timing of the plan's prefill or decode engines.

    Raises:
        ValueError: the weights do not fit.
        PluginError: the plan's plug-in cannot be used.
    """
    model, gpu, ep_group = plan.model, plan.gpu, plan.ep_group[kind]
    exchanges = plan.collectives != "alltoall"
    predictor = Predictor(model, gpu)
    truth = Truth(model, gpu, ep_group, exchanges=exchanges)
    if gpu.profile is not None:
        predictor = _PluggedPredictor(model, gpu, truth.attention_s)
    if plan.gpu_timing is not None:
        times = plugged_times(plan.plugins[plan.gpu_timing], model, gpu, ep_group)
        for name, function in times.items():
            setattr(truth, name, function)
        if attention_s := times.get("attention_s"):
            predictor = _PluggedPredictor(model, gpu, attention_s)
    return Timing(compute.kv_capacity(model, gpu, ep_group), predictor, truth)
