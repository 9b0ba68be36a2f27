"""GPU times of one's own: decode steps from a table, the rest as the model's arithmetic has it.

    gpu_timing: ../examples/measured_decode.py:MeasuredDecode

The figures below only show the form; put those that you have measured in their place.
"""

from __future__ import annotations

from bisect import bisect_right

from plan.deployment import GpuSpec, ModelSpec

DUALPATH_PLUGIN = 1

STEP_S = {1: 0.0101, 8: 0.0107, 32: 0.0128, 128: 0.0236}
"""Requests in a batch -> seconds of a decode step at a short context."""
TOKEN_S = 9e-9
"""More for every token of KV-Cache that a step reads."""


class MeasuredDecode:
    """Made for the prefill and for the decode engines; `decode_step_s` is one of the five times
    of `nodes.timing.plugged` that it may have."""

    def __init__(self, model: ModelSpec, gpu: GpuSpec, ep_group: int) -> None:
        if model.layers > 200:
            raise ValueError(f"{model.name} is not the model that was measured")

    def decode_step_s(self, batch: int, context_tokens: int, attended_tokens: int) -> float:
        """A straight line between the two nearest batches, and on beyond the last.

        Args:
            batch: requests that decode, 0 takes no time.
            context_tokens, attended_tokens: summed over the batch.
        """
        if batch == 0:
            return 0.0
        sizes = list(STEP_S)
        above = min(max(bisect_right(sizes, batch), 1), len(sizes) - 1)
        low, high = sizes[above - 1], sizes[above]
        slope = (STEP_S[high] - STEP_S[low]) / (high - low)
        return STEP_S[low] + slope * (batch - low) + TOKEN_S * attended_tokens
