"""Write what a run measured for other tools: `dualpath export RUN`.

Files go beside each system's own, in RUN/systems/NAME/:

  timeline   timeline.json.gz, which opens in https://ui.perfetto.dev or chrome://tracing
  aiperf     profile_export.jsonl and profile_export_aiperf.json, as AIPerf names its figures
  vllm       vllm_bench.json, as `vllm bench serve` does

Exit status: 0 done; 1 it failed; 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from plan.errors import ScenarioError
from scenarios.exports import aiperf, timeline, vllm
from scenarios.results.saved_run import SavedRun, SavedSystem, check_run, open_run
from scenarios.running.outcome import DONE, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import take_up

Format = Callable[[SavedRun, SavedSystem, Path], list[Path]]
FORMATS: dict[str, Format] = {
    "timeline": timeline.write,
    "aiperf": aiperf.write,
    "vllm": vllm.write,
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _export(arguments))


def _export(arguments: argparse.Namespace) -> int:
    formats = _chosen("--format", arguments.format, list(FORMATS))
    check_run(arguments.run)
    take_up(arguments.run)
    run = open_run(arguments.run)
    systems = _chosen("--systems", arguments.systems, list(run.summary.systems))
    with handed_over(arguments.run):
        for name in systems:
            system = run.system(name)
            for kind in formats:
                for path in FORMATS[kind](run, system, system.directory):
                    print(path, flush=True)
    return DONE


def _chosen(option: str, given: str | None, known: list[str]) -> list[str]:
    names = known if given is None else given.split(",")
    for name in names:
        if name not in known:
            raise ScenarioError(option, name, f"choose from {', '.join(known)}", "is not there")
    return list(dict.fromkeys(names))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of a run")
    parser.add_argument("--format", help=f"of {','.join(FORMATS)} (default: all)")
    parser.add_argument("--systems", help="comma-separated names (default: all)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
