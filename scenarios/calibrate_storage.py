"""Fit what storage delivers of a single read: `python -m scenarios.calibrate_storage`.

The Oracle reads nothing, so its runs say nothing of storage. One constant of storage,
`cluster.storage.read_rate` of the library's `reproduction`, is fitted to one point of Basic's,
which serves Qwen 32B with 64K contexts to 32 agents (paper Fig 7): so few that nobody waits for
an SNIC, and each read takes the time that a read takes. All other points of Basic and DualPath
are predicted. What was simulated is kept in the output directory. Needs scipy.

Exit status: 0 done; 1 a run failed; 2 the command line is wrong; 3 this machine lacks something;
130 broken off.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from plan.errors import RunError
from scenarios.reproduction.cases import STORAGE_POINT, scenario_of
from scenarios.reproduction.wanted import jcts_s
from scenarios.results.readable_json import write_json
from scenarios.running.cases import measured
from scenarios.running.fitting import optimisers, parser_of
from scenarios.running.fleet import Here
from scenarios.running.outcome import DONE, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import make

RATES = 3e9, 24e9
"""Between these it is sought, bytes/s."""
STEP = 0.01
"""Of the rate's logarithm: JCT varies by some tenths of a per cent for no reason of storage's."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = parser_of("calibrate_storage", __doc__).parse_args(argv)
    return concluded(lambda: _calibrate(arguments.out))


def _calibrate(out: Path) -> int:
    brentq = optimisers().brentq
    make(out)
    with handed_over(out):
        low, high = map(math.log, RATES)
        log = brentq(lambda log: _error(log, out), low, high, xtol=STEP)
        error, found = _error(log, out), _rounded(math.exp(log))
        fitted = {
            "read_rate": f"{found / 1e9} GB/s",
            "point": STORAGE_POINT._asdict(),
            "error": error,
        }
        write_json(out / "storage.json", fitted)
    print(f"read_rate: {found / 1e9} GB/s ({error:+.1%}); {out / 'storage.json'}")
    return DONE


def _error(log: float, out: Path) -> float:
    """Logarithm of ours over the paper's, with a read rate of that logarithm."""
    rate = _rounded(math.exp(log))
    scenario = scenario_of(STORAGE_POINT, read_bytes_per_s=rate)
    ((_, result),) = measured({STORAGE_POINT: scenario}, out, Here(1))
    if isinstance(result, RunError):
        raise result
    theirs = jcts_s()[STORAGE_POINT]
    print(f"{rate / 1e9:6.2f} GB/s  paper {theirs:.0f} s  ours {result.jct_s:.0f} s", flush=True)
    return math.log(result.jct_s / theirs)


def _rounded(rate: float) -> float:
    """To three digits."""
    return float(f"{rate:.3g}")


if __name__ == "__main__":
    sys.exit(main())
