"""Two or more runs side by side: `dualpath compare RUN RUN ...`.

Says in which settings they differ, and every system's main figures with how much more they
are than in the first run. With --out it also writes comparison.html, with all figures that
differ, and the same as comparison.json.

Exit status: 0 done; 1 it failed; 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plan.errors import ScenarioError, reading
from scenarios.analysis.differences import figures, settings
from scenarios.configuration import yaml_dialect
from scenarios.results.saved_run import check_run, read_summary
from scenarios.running.outcome import DONE, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import claim


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _compare(arguments.run, arguments.out))


def _compare(runs: list[Path], out: Path | None) -> int:
    if len(runs) < 2:
        raise ScenarioError("RUN", str(runs[0]), "name another run, too", "is one run")
    for run in runs:
        check_run(run)
    if out is not None:
        claim(out)
    from scenarios.reports.comparison_report import Comparison, print_tables, write

    comparison = Comparison(
        runs=_labels(runs),
        settings=settings([_scenario(run) for run in runs]),
        figures=figures([read_summary(run) for run in runs]),
    )
    print_tables(comparison)
    if out is not None:
        with handed_over(out):
            write(comparison, out)
        print(f"page: {out / 'comparison.html'}")
    return DONE


def _scenario(run: Path) -> dict[str, Any]:
    """As it was resolved, with no regard to what scenarios may hold today."""
    path = run / "scenario.yaml"
    with reading(path), path.open(encoding="utf-8") as file:
        data = yaml_dialect.read(file.read(yaml_dialect.MAX_BYTES + 1))
        if not isinstance(data, dict):
            raise ValueError("is no scenario")
        return data


def _labels(runs: Sequence[Path]) -> tuple[str, ...]:
    """What tells the runs apart: their paths below the directory that they share."""
    paths = [run.resolve() for run in runs]
    shared = os.path.commonpath([path.parent for path in paths])
    return tuple(os.path.relpath(path, shared) for path in paths)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, nargs="+", metavar="RUN", help="directory of a run")
    parser.add_argument("--out", type=Path, help="directory, new or empty, for the page")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
