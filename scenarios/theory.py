"""The bottleneck-free analysis (paper section 2): NIC and DRAM loads over P/D.

    python -m scenarios.theory --g 8 --s 1 --M "500 GB/s" --B "400 Gbit/s" [--plot FILE]

Symbols are the paper's: P prefill and D decode nodes of g GPUs, each GPU with a compute NIC
(CNIC) of B bytes/s in each direction, a storage NIC (SNIC) of s x B per node, and node
DRAM of M bytes/s (reads and writes add up). Everything here is a prediction.

All loads follow from two totals over the cluster, X bytes/s read from storage on the PE
path and Y on the DE path. A byte of X crosses a PE CNIC out twice (H2D, then to the DE)
and in once (H2D), a DE CNIC in twice (into the DE buffer, H2D) and out once (H2D), PE DRAM
twice and DE DRAM twice. A byte of Y crosses a PE CNIC in once, a DE CNIC out twice (to the
PE, H2D) and in once (H2D), and DE DRAM three times. With every SNIC full (X = P s B,
Y = D s B) these are the paper's inequalities. Missed tokens are neglected, as there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from matplotlib.figure import Figure
from quantiphy import QuantiPhyError, Quantity

_DESCRIPTION = "The bottleneck-free analysis (paper section 2): loads over P/D."
_UNITS = {"B/s": 1.0, "bit/s": 1 / 8, "b/s": 1 / 8, "bps": 1 / 8}
_RATIOS = ((1, 10), (1, 7), (1, 4), (1, 2), (1, 1), (2, 1), (7, 2), (5, 1), (10, 1))


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Load of one resource (one NIC direction, or one node's DRAM) and what it can carry,
    bytes/s."""

    resource: str
    load: float
    capacity: float

    @property
    def utilisation(self) -> float:
        """Load over capacity; above 1 the resource is a bottleneck."""
        return self.load / self.capacity


class Inequality(msgspec.Struct, frozen=True, kw_only=True):
    """One of the paper's inequalities: `load` of a resource in units of s B, x being P/D,
    stays within its capacity for x from `lo` to `hi`."""

    resource: str
    load: str
    lo: float
    hi: float


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """P/D from `lo` to `hi` is bottleneck-free; beyond an end, the resources named there
    are overloaded. With `lo` > `hi` no ratio is bottleneck-free."""

    lo: float
    hi: float
    lo_resources: tuple[str, ...]
    hi_resources: tuple[str, ...]

    def __contains__(self, ratio: float) -> bool:
        return self.lo <= ratio <= self.hi


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """The most that a system can read from storage, bytes/s over the cluster.

    Attributes:
        pe_path, de_path: by path.
        snic_fraction: of the bandwidth of all SNICs.
        binding: the resources that are full.
    """

    pe_path: float
    de_path: float
    snic_fraction: float
    binding: tuple[str, ...]

    @property
    def total(self) -> float:
        return self.pe_path + self.de_path


class _Resource(NamedTuple):
    """A resource's capacity and what each byte/s of X and Y loads it with."""

    name: str
    per_x: float
    per_y: float
    capacity: float


def predict(p_nodes: float, d_nodes: float, g: int, s: float, b: float, m: float) -> list[Load]:
    """Loads of every CNIC direction and DRAM with every SNIC full and balanced.

    Args:
        p_nodes, d_nodes: prefill and decode nodes.
        g: GPUs per node.
        s: SNIC bandwidth of a node in units of one CNIC's.
        b: CNIC bandwidth, bytes/s.
        m: DRAM bandwidth of a node, bytes/s.

    Raises:
        ValueError: an argument is not positive.
    """
    _check(p_nodes=p_nodes, d_nodes=d_nodes, g=g, s=s, b=b, m=m)
    return loads(p_nodes * s * b, d_nodes * s * b, p_nodes, d_nodes, g, b, m)


def loads(
    pe_path: float, de_path: float, p_nodes: float, d_nodes: float, g: int, b: float, m: float
) -> list[Load]:
    """Loads of every CNIC direction and DRAM at given reads from storage.

    Args:
        pe_path, de_path: read on each path, bytes/s over the cluster.
        others: as `predict`.

    Raises:
        ValueError: an argument other than the paths is not positive.
    """
    _check(p_nodes=p_nodes, d_nodes=d_nodes, g=g, b=b, m=m)
    return [
        Load(resource=name, load=per_x * pe_path + per_y * de_path, capacity=capacity)
        for name, per_x, per_y, capacity in _resources(p_nodes, d_nodes, g, b, m)
    ]


def inequalities(g: int, s: float, b: float, m: float) -> list[Inequality]:
    """What each resource asks of P/D, in the paper's order.

    Raises:
        ValueError: an argument is not positive.
    """
    _check(g=g, s=s, b=b, m=m)
    dram = m / (b * s)
    always, never = (0.0, math.inf), (math.inf, 0.0)
    bounds = {
        "PE CNIC read": ("2 / g", always if 2 * s <= g else never),
        "PE CNIC write": ("(1 + 1/x) / g", (s / (g - s) if s < g else math.inf, math.inf)),
        "DE CNIC read": ("(x + 2) / g", (0.0, (g - 2 * s) / s)),
        "DE CNIC write": ("(2 x + 1) / g", (0.0, (g - s) / (2 * s))),
        "PE DRAM": ("2", always if dram >= 2 else never),
        "DE DRAM": ("3 + 2 x", (0.0, (dram - 3) / 2)),
    }
    return [
        Inequality(resource=resource, load=load, lo=lo, hi=hi)
        for resource, (load, (lo, hi)) in bounds.items()
    ]


def band(g: int, s: float, b: float, m: float) -> Band:
    """The bottleneck-free band of P/D: where all inequalities hold.

    Raises:
        ValueError: an argument is not positive.
    """
    every = inequalities(g, s, b, m)
    lo, hi = max(one.lo for one in every), min(one.hi for one in every)
    return Band(
        lo=lo,
        hi=hi,
        lo_resources=tuple(one.resource for one in every if math.isclose(one.lo, lo)),
        hi_resources=tuple(one.resource for one in every if math.isclose(one.hi, hi)),
    )


def basic(p_nodes: float, d_nodes: float, g: int, s: float, b: float, m: float) -> Throughput:
    """The most that the PE path alone can read: only the prefill nodes' SNICs serve.

    Raises:
        ValueError: an argument is not positive.
    """
    _check(p_nodes=p_nodes, d_nodes=d_nodes, g=g, s=s, b=b, m=m)
    limits = _limits(p_nodes, d_nodes, g, s, b, m)
    x = min(limit.capacity / limit.per_x for limit in limits if limit.per_x)
    return _throughput(x, 0.0, limits, (p_nodes + d_nodes) * s * b)


def dual_path(p_nodes: float, d_nodes: float, g: int, s: float, b: float, m: float) -> Throughput:
    """The most that both paths can read together, at the best split between them.

    Maximises X + Y under the linear limits of all resources. Inside the band this is
    all of the SNICs; outside it, what the binding resource leaves.

    Raises:
        ValueError: an argument is not positive.
    """
    _check(p_nodes=p_nodes, d_nodes=d_nodes, g=g, s=s, b=b, m=m)
    limits = _limits(p_nodes, d_nodes, g, s, b, m)
    x, y = max(_vertices(limits), key=sum)
    return _throughput(x, y, limits, (p_nodes + d_nodes) * s * b)


def _resources(p: float, d: float, g: int, b: float, m: float) -> list[_Resource]:
    pe_cnics, de_cnics = p * g, d * g
    return [
        _Resource("PE CNIC read", 2 / pe_cnics, 0, b),
        _Resource("PE CNIC write", 1 / pe_cnics, 1 / pe_cnics, b),
        _Resource("DE CNIC read", 1 / de_cnics, 2 / de_cnics, b),
        _Resource("DE CNIC write", 2 / de_cnics, 1 / de_cnics, b),
        _Resource("PE DRAM", 2 / p, 0, m),
        _Resource("DE DRAM", 2 / d, 3 / d, m),
    ]


def _limits(p: float, d: float, g: int, s: float, b: float, m: float) -> list[_Resource]:
    snics = [_Resource("PE SNIC", 1 / p, 0, s * b), _Resource("DE SNIC", 0, 1 / d, s * b)]
    return snics + _resources(p, d, g, b, m)


def _vertices(limits: Sequence[_Resource]) -> list[tuple[float, float]]:
    """Corners of the region of (X, Y) within all limits. Exact, so none is lost to rounding."""
    rows = [
        (Fraction(limit.per_x), Fraction(limit.per_y), Fraction(limit.capacity)) for limit in limits
    ]
    rows += [(Fraction(-1), Fraction(0), Fraction(0)), (Fraction(0), Fraction(-1), Fraction(0))]
    corners = []
    for (a1, b1, c1), (a2, b2, c2) in combinations(rows, 2):
        determinant = a1 * b2 - a2 * b1
        if determinant:
            x, y = (c1 * b2 - c2 * b1) / determinant, (a1 * c2 - a2 * c1) / determinant
            if all(per_x * x + per_y * y <= capacity for per_x, per_y, capacity in rows):
                corners.append((float(x), float(y)))
    return corners


def _throughput(x: float, y: float, limits: Sequence[_Resource], snics: float) -> Throughput:
    full = tuple(
        limit.name
        for limit in limits
        if limit.per_x * x + limit.per_y * y >= limit.capacity * (1 - 1e-9)
    )
    return Throughput(pe_path=x, de_path=y, snic_fraction=(x + y) / snics, binding=full)


def _check(**arguments: float) -> None:
    for name, value in arguments.items():
        if not value > 0:
            raise ValueError(f"{name} must be > 0, not {value!r}")


# the command


def table(g: int, s: float, b: float, m: float) -> str:
    """Every inequality, the band, and what Basic and DualPath can read, as text."""
    free = band(g, s, b, m)
    lines = [f"{'resource':<15}{'load / (s B)':<16}{'capacity / (s B)':>16}   bottleneck-free P/D"]
    for one, load in zip(inequalities(g, s, b, m), predict(1, 1, g, s, b, m), strict=True):
        lines.append(
            f"{one.resource:<15}{one.load:<16}{load.capacity / (s * b):>16.4g}   "
            f"{one.lo:.4g} .. {one.hi:.4g}"
        )
    lines += [
        "",
        f"bottleneck-free: {free.lo:.4g} <= P/D <= {free.hi:.4g}"
        if free.lo <= free.hi
        else "bottleneck-free: no P/D",
        f"  below, too much for: {', '.join(free.lo_resources)}",
        f"  above, too much for: {', '.join(free.hi_resources)}",
        "",
        "share of all SNIC bandwidth that can be read, and what is full then",
        f"{'P:D':<7}{'Basic':>7}{'DualPath':>10}   full under DualPath",
    ]
    for p, d in _RATIOS:
        dual = dual_path(p, d, g, s, b, m)
        one_path = basic(p, d, g, s, b, m)
        lines.append(
            f"{f'{p}:{d}':<7}{one_path.snic_fraction:>7.3f}{dual.snic_fraction:>10.3f}   "
            f"{', '.join(dual.binding)}"
        )
    return "\n".join(lines)


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
    for axes in (upper, usable):
        if free.lo <= free.hi:
            axes.axvspan(free.lo, free.hi, alpha=0.15, label="bottleneck-free")
        axes.legend(fontsize="small")
    figure.suptitle(f"Prediction: g = {g}, s = {s:g}, B = {b / 1e9:g} GB/s, M = {m / 1e9:g} GB/s")
    figure.savefig(path)


def bytes_per_s(text: str) -> float:
    """A rate as `500 GB/s` or `400 Gbit/s`, in bytes/s.

    Raises:
        argparse.ArgumentTypeError: not a rate.
    """
    try:
        quantity = Quantity(text)
    except QuantiPhyError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate; write 400 Gbit/s") from error
    if quantity.units not in _UNITS:
        raise argparse.ArgumentTypeError(
            f"{text!r} has unit {quantity.units!r}; use one of {', '.join(_UNITS)}"
        )
    return float(quantity) * _UNITS[quantity.units]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the analysis, and draw it where `--plot` says."""
    parser = argparse.ArgumentParser(prog="scenarios.theory", description=_DESCRIPTION)
    parser.add_argument("--g", type=int, default=8, help="GPUs per node")
    parser.add_argument("--s", type=float, default=1.0, help="SNIC bandwidth in CNICs'")
    parser.add_argument("--M", type=bytes_per_s, default=500e9, help="DRAM bandwidth of a node")
    parser.add_argument("--B", type=bytes_per_s, default=50e9, help="bandwidth of a CNIC")
    parser.add_argument("--plot", type=Path, help="image file to draw to")
    options = parser.parse_args(arguments)
    try:
        print(table(options.g, options.s, options.B, options.M))
        if options.plot:
            plot(options.plot, options.g, options.s, options.B, options.M)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
