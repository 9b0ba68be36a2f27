"""Measured or modelled GPU times as tables: what a plan holds of them."""

from __future__ import annotations

import msgspec

Row = tuple[float, ...]


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds at every x and y of a grid, both rising: `seconds[i][j]` at `xs[i]`, `ys[j]`."""

    xs: Row
    ys: Row
    seconds: tuple[Row, ...]

    def times(self, factor: float) -> Grid:
        """The grid with all seconds times a factor."""
        scaled = tuple(tuple(factor * one for one in row) for row in self.seconds)
        return Grid(xs=self.xs, ys=self.ys, seconds=scaled)


class GpuProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Times of one model on one GPU; of a forward over all layers, of a decode step in all.

    Attributes:
        model: what was measured; source: by what and how.
        attention: of a request, over (cached tokens, new tokens).
        dense: all that a GPU does for its own tokens beside attention, over (0, tokens).
        experts: routed experts for a GPU's share of tokens, over (GPUs that share them, tokens).
        dispatch: their AllToAlls, over the same; left out where collectives are traffic.
        decode: by GPUs that share the experts, over (batch, mean context).
    """

    model: str
    source: str
    attention: Grid
    dense: Grid
    experts: Grid | None = None
    dispatch: Grid | None = None
    decode: dict[int, Grid]

    def times(self, factor: float) -> GpuProfile:
        """The profile with all seconds times a factor."""
        return GpuProfile(
            model=self.model,
            source=self.source,
            attention=self.attention.times(factor),
            dense=self.dense.times(factor),
            experts=self.experts and self.experts.times(factor),
            dispatch=self.dispatch and self.dispatch.times(factor),
            decode={ep: grid.times(factor) for ep, grid in self.decode.items()},
        )
