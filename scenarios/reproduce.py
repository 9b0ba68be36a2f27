"""The paper's figures beside ours: `python -m scenarios.reproduce [FIGURE ...]`.

Runs the points of the paper's figures at full size in virtual time, short runs first, and writes
`reproduction.json` (all points and a summary), `reproduction.html` with each figure redrawn,
theirs beside ours, and `reproduction.md`, the page of the documentation. What was run once is
kept in the output directory and not run again while scenario and code are the same, so a command
that was broken off goes on where it was. Points that are not run are left out, and counted.

Figures: 3 (throughput over batch size, from the compute model alone), 7 (offline JCT), 8 (ratios of
nodes), 9 (longer appends, longer generations), 10 and 11 (online: TTFT, TTST and TPOT, and JCT of
agents), 12 (parts of TTFT, parts of DualPath), 13 and 14 (balance of SNICs, and of attention), 15
(a large run over time) and table-3 (48P96D and 44P88D, which take hours). Exit status: 0 done; 1 a
run failed; 2 the command line is wrong; 130 broken off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from plan.errors import RunError
from scenarios.configuration.models import calibrated
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import count
from scenarios.reproduction.cases import (
    BLOCK_POINT,
    DEPLOYMENTS,
    ONLINE_S,
    READ_POINT,
    scenario_of,
)
from scenarios.reproduction.comparison import Measured, Reproduction, reproduction
from scenarios.reproduction.paper import FIGURES, Case, PaperPoint
from scenarios.reproduction.wanted import points
from scenarios.running.cases import is_kept, measured
from scenarios.running.fleet import Fleet, Shard, add_cluster, fleet, shard
from scenarios.running.outcome import DONE, FAILED, complain, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import make
from scenarios.workload.generator import TABLE_2

RUNS = "points"
"""Where what was measured is kept, below the output directory."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _reproduce(arguments))


def _reproduce(arguments: argparse.Namespace) -> int:
    models = arguments.model or list(DEPLOYMENTS)
    wanted = [
        point
        for point in points(tuple(arguments.figure or FIGURES))
        if point.case is None or point.case.model in models
    ]
    out: Path = arguments.out
    make(out / RUNS)
    scenarios = _scenarios(wanted, arguments.at_most, arguments.shard, out / RUNS)
    with handed_over(out), fleet(arguments.cluster, arguments.jobs) as runners:
        found, failed = _measured(scenarios, out, runners)
        _write(reproduction(wanted, found, _fitted()), out)
    return FAILED if failed else DONE


def _write(result: Reproduction, out: Path) -> None:
    # drawing takes a second to load
    from scenarios.reports.reproduction_report import print_table, write

    write(result, out)
    print_table(result)
    print(f"report: {out / 'reproduction.html'}")


def _scenarios(
    wanted: Sequence[PaperPoint], at_most: int | None, part: Shard | None, kept: Path
) -> dict[Case, Scenario]:
    """What has to be run, the cheapest first, and what was."""
    cases = sorted({point.case for point in wanted if point.case is not None}, key=_requests)
    if part is not None:
        cases = list(part.of(cases))
    scenarios = {case: scenario_of(case) for case in cases}
    if at_most is None:
        return scenarios
    return {
        case: scenario
        for case, scenario in scenarios.items()
        if _requests(case) <= at_most or is_kept(scenario, kept)
    }


def _requests(case: Case) -> float:
    agents = case.aps * ONLINE_S if case.aps else case.agents
    return agents * TABLE_2[case.row].turns


def _measured(
    scenarios: Mapping[Case, Scenario], out: Path, runners: Fleet
) -> tuple[dict[Case, Measured], bool]:
    found, failed = {}, False
    for done, (case, result) in enumerate(measured(scenarios, out / RUNS, runners), 1):
        if isinstance(result, RunError):
            complain(f"{scenarios[case].name}: {result}")
            failed = True
            continue
        found[case] = result
        told = f"{scenarios[case].name}: JCT {result.jct_s:.0f} s"
        print(f"[{done} of {len(scenarios)} runs] {told}", file=sys.stderr, flush=True)
    return found, failed


def _fitted() -> set[Case]:
    """The Oracle's points that the GPU was calibrated on, and Basic's two that storage was."""
    gpu = {Case(p.model, p.row, p.agents, "oracle") for p in calibrated("h800").points}
    return gpu | {BLOCK_POINT, READ_POINT}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("figure", nargs="*", choices=[*FIGURES, []], help="default: all of them")
    parser.add_argument(
        "--model", action="append", choices=list(DEPLOYMENTS), help="may be given again"
    )
    parser.add_argument("--jobs", type=count, default=1, help="runs at once (default: 1)")
    add_cluster(parser)
    parser.add_argument(
        "--shard", type=shard, metavar="I/N", help="the I-th of N parts; all parts share --out"
    )
    parser.add_argument(
        "--at-most", type=count, metavar="REQUESTS", help="begin no runs of more requests"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/reproduction"),
        help="directory, may be that of a reproduction to go on with (default: runs/reproduction)",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
