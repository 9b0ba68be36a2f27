"""The picture of the bottleneck-free analysis: loads over P/D (paper section 2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scenarios.analysis.theory import band, basic, dual_path, predict
from scenarios.reports.figures import Figure, plain_log


def plot(path: Path, g: int, s: float, b: float, m: float) -> None:
    """Draw utilisations (SNICs full) and usable SNIC bandwidth over P/D, the band shaded."""
    free = band(g, s, b, m)
    ratios = [float(ratio) for ratio in np.geomspace(1 / 16, 16, 129)]
    figure = Figure(figsize=(7, 7), layout="constrained")
    upper, usable = figure.subplots(2, 1, sharex=True)
    predicted = [predict(ratio, 1, g, s, b, m) for ratio in ratios]
    for i, one in enumerate(predicted[0]):
        upper.plot(ratios, [at[i].utilisation for at in predicted], label=one.resource)
    upper.axhline(1, color="black", linewidth=0.8, linestyle="--")
    upper.set(ylabel="load / capacity, all SNICs full", ylim=(0, 2))
    for name, most in (("Basic", basic), ("DualPath", dual_path)):
        shares = [most(ratio, 1, g, s, b, m).snic_fraction for ratio in ratios]
        usable.plot(ratios, shares, label=name)
    usable.set(
        xscale="log", xlabel="P / D", ylabel="usable share of SNIC bandwidth", ylim=(0, 1.05)
    )
    plain_log(usable.xaxis)
    for axes in (upper, usable):
        if free.lo <= free.hi:
            axes.axvspan(free.lo, free.hi, alpha=0.15, label="bottleneck-free")
        axes.legend(fontsize="small")
    figure.suptitle(f"Prediction: g = {g}, s = {s:g}, B = {b / 1e9:g} GB/s, M = {m / 1e9:g} GB/s")
    figure.savefig(path)
