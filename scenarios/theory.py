"""The bottleneck-free analysis (paper section 2): NIC and DRAM loads over P/D.

python -m scenarios.theory --g 8 --s 1 --M "500 GB/s" --B "400 Gbit/s" [--plot FILE]

Exit status: 0 done; 1 it failed; 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from quantiphy import QuantiPhyError, Quantity

from plan.errors import ScenarioError
from scenarios.analysis.theory import band, basic, dual_path, inequalities, predict
from scenarios.running.outcome import DONE, concluded

_DESCRIPTION = "The bottleneck-free analysis (paper section 2): loads over P/D."
_UNITS = {"B/s": 1.0, "bit/s": 1 / 8, "b/s": 1 / 8, "bps": 1 / 8}
_RATIOS = ((1, 10), (1, 7), (1, 4), (1, 2), (1, 1), (2, 1), (7, 2), (5, 1), (10, 1))


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the analysis, and draw it where `--plot` says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="dualpath theory", description=_DESCRIPTION)
    parser.add_argument("--g", type=int, default=8, help="GPUs per node")
    parser.add_argument("--s", type=float, default=1.0, help="SNIC bandwidth in CNICs'")
    parser.add_argument("--M", type=bytes_per_s, default=500e9, help="DRAM bandwidth of a node")
    parser.add_argument("--B", type=bytes_per_s, default=50e9, help="bandwidth of a CNIC")
    parser.add_argument("--plot", type=Path, help="image file to draw to")
    options = parser.parse_args(arguments)
    return concluded(lambda: _analyse(options))


def _analyse(options: argparse.Namespace) -> int:
    for name, value in vars(options).items():
        if isinstance(value, int | float) and not 0 < value < math.inf:
            raise ScenarioError(f"--{name}", value, "write a number above 0")
    print(table(options.g, options.s, options.B, options.M))
    if options.plot:
        from scenarios.reports.theory_plot import plot

        try:
            plot(options.plot, options.g, options.s, options.B, options.M)
        except (ValueError, OSError) as error:
            raise ScenarioError("--plot", str(options.plot), f"{error}") from error
    return DONE


if __name__ == "__main__":
    sys.exit(main())
