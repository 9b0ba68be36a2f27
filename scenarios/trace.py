"""What is in a trace, and the same in another format: `dualpath trace FILE`.

Prints the columns of the paper's Table 2, hit rates, lengths and gaps. With --out it also
writes trace.html, with a picture, and the same as trace.json, and with --to also the
trajectories: turns.csv, turns.jsonl, mooncake.jsonl or weka.jsonl.

Exit status: 0 done; 1 it failed; 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from plan.errors import ScenarioError, TraceError
from plan.workload import Trajectory
from scenarios.analysis.trace_figures import trace_figures
from scenarios.configuration.plugins import find
from scenarios.running.outcome import DONE, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import claim
from scenarios.workload.plugged import plugged_reader
from scenarios.workload.sniffing import format_of
from scenarios.workload.trace import load
from scenarios.workload.trace_formats import READERS
from scenarios.workload.trace_writers import WRITERS


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _trace(arguments))


def _trace(arguments: argparse.Namespace) -> int:
    if arguments.to and arguments.out is None:
        raise ScenarioError("--to", arguments.to, "give --out, too", "has no place to go to")
    name, trajectories = _read(arguments.trace, arguments.format)
    if arguments.out is not None:
        claim(arguments.out)
    from scenarios.reports.trace_report import TraceReport, print_tables, write

    report = TraceReport(
        name=str(arguments.trace), format=name, figures=trace_figures(trajectories)
    )
    print_tables(report)
    if arguments.out is not None:
        with handed_over(arguments.out):
            write(report, trajectories, arguments.out)
            print(f"page: {arguments.out / 'trace.html'}")
            if arguments.to:
                converted = arguments.out / arguments.to
                with converted.open("x", encoding="utf-8") as file:
                    file.writelines(WRITERS[arguments.to](trajectories))
                print(f"trace: {converted}")
    return DONE


def _read(path: Path, given: str | None) -> tuple[str, list[Trajectory]]:
    """The name of the format, and what is in the trace."""
    try:
        name = given or format_of(path)
        known = next((reader for one, reader in READERS.items() if one == name), None)
        reader = known or plugged_reader(find("traces", "--format", name, READERS))
        trajectories = load(path, reader, shared=True)
    except TraceError as error:
        raise ScenarioError("FILE", None, "give another file, or --format", str(error)) from None
    if not trajectories:
        raise ScenarioError("FILE", str(path), "give another file", "has no trajectory")
    return name, trajectories


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath trace",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trace", type=Path, metavar="FILE", help="the trace, a file or a folder")
    parser.add_argument(
        "--format", help=f"{', '.join(READERS)}, or a plug-in (default: by its first line)"
    )
    parser.add_argument("--out", type=Path, help="directory, new or empty, for the page")
    parser.add_argument("--to", choices=list(WRITERS), help="write this file there, too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
