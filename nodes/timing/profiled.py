"""How long computing takes by tables of measured times: bilinear between what was measured.

Below a table it is the least that was measured (a forward has a floor), beyond it the slope
of the last interval goes on. Tables are of so many GPUs that share the experts; what is between
two of them takes the nearer one's times.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from nodes.timing.compute import Pair
from plan.deployment import ModelSpec
from plan.gpu_profile import GpuProfile, Grid, Row


def nearest(sizes: Sequence[float], size: float) -> int:
    """The place of the size that is the least factor away."""
    return min(range(len(sizes)), key=lambda place: abs(math.log(sizes[place] / size)))


def at(grid: Grid, x: float, y: float) -> float:
    """The seconds of a grid between its points."""
    low, high, share = _between(grid.xs, x)
    below = _along(grid.ys, grid.seconds[low], y)
    return max(0.0, below + share * (_along(grid.ys, grid.seconds[high], y) - below))


def _along(places: Row, seconds: Row, place: float) -> float:
    low, high, share = _between(places, place)
    return seconds[low] + share * (seconds[high] - seconds[low])


def _between(places: Row, place: float) -> tuple[int, int, float]:
    """The two points that a place goes by, and how far it is from one to the other."""
    if len(places) == 1 or place <= places[0]:
        return 0, 0, 0.0
    high = min(bisect_right(places, place), len(places) - 1)
    low = high - 1
    return low, high, (place - places[low]) / (places[high] - places[low])


class Profiled:
    """The times of `nodes.timing.compute` by the same names.

    Args:
        ep_group: GPUs that share the experts.
        exchanges: whether AllToAlls take part of the time, and are not traffic.
    """

    def __init__(
        self, profile: GpuProfile, model: ModelSpec, ep_group: int, *, exchanges: bool
    ) -> None:
        self._layers = float(model.layers)
        self._attention, self._dense = profile.attention, profile.dense
        self._shared = [
            (grid, grid.xs[nearest(grid.xs, ep_group)])
            for grid in (profile.experts, profile.dispatch if exchanges else None)
            if grid is not None
        ]
        sizes = sorted(profile.decode)
        self._decode = profile.decode[sizes[nearest(sizes, ep_group)]]

    def attention_s(self, chunks: Sequence[Pair]) -> float:
        """See `compute.attention_s`."""
        return sum(at(self._attention, cached, bsz) for cached, bsz in chunks)

    def own_layer_s(self, chunks: Sequence[Pair]) -> float:
        """See `compute.own_layer_s`."""
        tokens = sum(bsz for _, bsz in chunks)
        return (at(self._dense, 0.0, tokens) + self.attention_s(chunks)) / self._layers

    def expert_layer_s(self, tokens: float) -> float:
        """See `compute.expert_layer_s`."""
        return sum(at(grid, ep, tokens) for grid, ep in self._shared) / self._layers

    def prefill_layer_s(self, chunks: Sequence[Pair]) -> float:
        """See `compute.prefill_layer_s`."""
        tokens = sum(bsz for _, bsz in chunks)
        return self.own_layer_s(chunks) + self.expert_layer_s(tokens)

    def decode_step_s(self, batch: int, context_tokens: int, _attended_tokens: int) -> float:
        """See `compute.DecodeStep`."""
        if batch == 0:
            return 0.0
        return at(self._decode, batch, context_tokens / batch)
