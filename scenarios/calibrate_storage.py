"""Fit what storage delivers: `python -m scenarios.calibrate_storage`.

The Oracle reads nothing, so its runs say nothing of storage. Two constants of the library's
`reproduction`, one after the other, are each fitted to one point of Basic's (paper Fig 7):
`cluster.block_cost`, what an SNIC spends on a Full Block beside its bytes, to DS 27B serving 512
agents with 64K contexts, where the only SNIC is seldom idle; then `cluster.storage.read_rate`, what
a single read gets, to Qwen 32B serving 32 agents with 64K contexts, so few that nobody waits for
an SNIC, and each read takes the time that a read takes. All other points of Basic and DualPath
are predicted. What was simulated is kept in the output directory. Needs scipy.

Exit status: 0 done; 1 a run failed; 2 the command line is wrong; 3 this machine lacks something;
130 broken off.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from plan.errors import RunError
from scenarios.reproduction.cases import BLOCK_POINT, READ_POINT, scenario_of
from scenarios.reproduction.paper import Case
from scenarios.reproduction.wanted import jcts_s
from scenarios.results.readable_json import write_json
from scenarios.running.cases import measured
from scenarios.running.fitting import optimisers, parser_of
from scenarios.running.fleet import Here
from scenarios.running.outcome import DONE, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import make


class Constant(NamedTuple):
    """One of storage's constants.

    Attributes:
        key: in a scenario; unit: of its value there.
        case: whose point it is fitted to.
        between: it is sought, in that unit.
    """

    key: str
    unit: str
    case: Case
    between: tuple[float, float]


CONSTANTS = (
    Constant("cluster.block_cost", "us", BLOCK_POINT, (4.0, 80.0)),
    Constant("cluster.storage.read_rate", "GB/s", READ_POINT, (3.0, 24.0)),
)
"""In the order in which they are fitted: a single read of large blocks tells nothing of blocks'
cost, and where an SNIC is full nothing depends on what a single read gets."""
STEP = 0.01
"""Of a constant's logarithm: JCT varies by some tenths of a per cent for no reason of storage's."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = parser_of("calibrate_storage", __doc__).parse_args(argv)
    return concluded(lambda: _calibrate(arguments.out))


def _calibrate(out: Path) -> int:
    make(out)
    with handed_over(out):
        fitted: dict[str, str] = {}
        points = []
        for constant in CONSTANTS:
            value, error = _fit(constant, fitted, out)
            fitted[constant.key] = f"{value:g} {constant.unit}"
            points.append({**constant.case._asdict(), "error": error})
            print(f"{constant.key}: {fitted[constant.key]} ({error:+.1%})")
        write_json(out / "storage.json", {"constants": fitted, "points": points})
    print(out / "storage.json")
    return DONE


def _fit(constant: Constant, known: Mapping[str, str], out: Path) -> tuple[float, float]:
    """A constant, to three digits, and the logarithm of ours over the paper's that is left."""

    def error(log: float) -> float:
        return _error(constant, _rounded(math.exp(log)), known, out)

    low, high = map(math.log, constant.between)
    log = optimisers().brentq(error, low, high, xtol=STEP)
    return _rounded(math.exp(log)), error(log)


def _error(constant: Constant, value: float, known: Mapping[str, str], out: Path) -> float:
    """Logarithm of ours over the paper's, with a constant of that value."""
    storage = {**known, constant.key: f"{value:g} {constant.unit}"}
    scenario = scenario_of(constant.case, storage=storage)
    ((_, result),) = measured({constant.case: scenario}, out, Here(1))
    if isinstance(result, RunError):
        raise result
    theirs = jcts_s()[constant.case]
    tried = f"{constant.key} {value:6g} {constant.unit}"
    print(f"{tried}  paper {theirs:.0f} s  ours {result.jct_s:.0f} s", flush=True)
    return math.log(result.jct_s / theirs)


def _rounded(value: float) -> float:
    """To three digits."""
    return float(f"{value:.3g}")


if __name__ == "__main__":
    sys.exit(main())
