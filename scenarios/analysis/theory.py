"""The bottleneck-free analysis (paper section 2): NIC and DRAM loads over P/D.

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

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

import msgspec


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
