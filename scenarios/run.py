"""Run a scenario: `sudo python -m scenarios.run NAME`.

Builds what the scenario describes, serves its agents by every system it names, and writes a
report. Exit status: 0 the run is done and to be believed; 1 it failed; 2 the scenario or
the command line is wrong; 3 this machine lacks something; 4 the run is done but its figures
are not to be believed (the report says why); 130 it was broken off. What was served before a
run failed or was broken off is in its report. A scenario with a sweep runs all of its points;
what failed or was broken off goes on where it stopped with the same command and --out.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from plan.errors import ScenarioError
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import count
from scenarios.overrides import add_overrides, overrides
from scenarios.planning.memory import check_jobs
from scenarios.planning.plan import Planned, make_plan
from scenarios.planning.points import load_points
from scenarios.results.taps import find_taps
from scenarios.running.execution import enter_sandbox, run_scenario
from scenarios.running.fleet import add_cluster, fleet, shard
from scenarios.running.live_page import HERE, PORT, live_page
from scenarios.running.outcome import DONE, LACKING, complain, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.sweep import run_sweep
from topology import machine, sandbox


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _check() if arguments.check else _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    scenario = _scenario(arguments)
    if scenario.sweep is not None:
        return _sweep(scenario, arguments)
    planned = make_plan(scenario)
    _check_options(planned, arguments)
    out = _out(scenario, arguments)
    if arguments.serve is not None and not sandbox.inside():
        with live_page(out, arguments.serve):
            return _one(scenario, planned, out, arguments)
    return _one(scenario, planned, out, arguments)


def _one(scenario: Scenario, planned: Planned, out: Path, arguments: argparse.Namespace) -> int:
    if scenario.engine == "emulate":
        enter_sandbox("--out", str(out), capture=bool(arguments.pcap))
    with handed_over(out):
        if arguments.cli:
            from scenarios.running.prompt import prompt

            prompt(scenario, out)
            return DONE
        outcome = run_scenario(scenario, out, arguments.pcap, planned)
    if outcome.error is not None:
        complain(outcome.error)
    return outcome.status


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenario",
        nargs="?",
        type=Path,
        default=library.QUICKSTART,
        help=f"YAML file, or one of: {', '.join(library.names())}",
    )
    parser.add_argument("--out", type=Path, help="directory of the run (default: runs/NAME-TIME)")
    add_overrides(parser)
    parser.add_argument(
        "--jobs", type=count, help="points of a simulated sweep at once (default: all cores)"
    )
    add_cluster(parser)
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help="run the I-th of N parts of a sweep; all parts share --out",
    )
    parser.add_argument(
        "--pcap",
        action="append",
        default=[],
        metavar="LINK",
        help="record the headers on a NIC (pe0.cnic0) or link (ce0-ca0); may be given again",
    )
    parser.add_argument(
        "--serve",
        nargs="?",
        type=count,
        const=PORT,
        metavar="PORT",
        help=f"show the run in a browser while it goes, at this port of {HERE} (default: {PORT})",
    )
    parser.add_argument("--check", action="store_true", help="say what this machine lacks")
    parser.add_argument(
        "--cli", action="store_true", help="Mininet's prompt on the fabric instead of a run"
    )
    return parser.parse_args(argv)


def _check() -> int:
    problems = machine.check()
    for problem in problems:
        print(f"missing: {problem.what}\n    remedy: {problem.remedy}")
    if problems:
        return LACKING
    print("This machine has all that the testbed needs.")
    return DONE


def _scenario(arguments: argparse.Namespace) -> Scenario:
    return load_scenario(library.find(arguments.scenario), overrides(arguments))


def _sweep(scenario: Scenario, arguments: argparse.Namespace) -> int:
    _refuse(arguments.serve, "--serve", "a sweep has many runs: dualpath serve shows one of them")
    _refuse(arguments.cli, "--cli", "a sweep has many fabrics: add --set sweep=null")
    _refuse(arguments.pcap, "--pcap", "a sweep has many fabrics: add --set sweep=null")
    points = load_points(library.find(arguments.scenario), overrides(arguments))
    jobs, cluster = 1, arguments.cluster
    if all(point.scenario.engine == "simulate" for point in points):
        jobs = arguments.jobs or len(os.sched_getaffinity(0))
        if arguments.jobs:
            check_jobs(arguments.jobs)
    else:
        _refuse(arguments.jobs, "--jobs", "leave it out: emulated points need the whole machine")
        if cluster is None:
            enter_sandbox()
    with fleet(cluster, jobs) as found:
        return run_sweep(scenario, points, _out(scenario, arguments), found, arguments.shard)


def _check_options(planned: Planned, arguments: argparse.Namespace) -> None:
    """Reject, before anything is built, what the scenario itself or an option rules out."""
    find_taps(planned.plan, arguments.pcap)
    for option, value in (
        ("--jobs", arguments.jobs),
        ("--cluster", arguments.cluster),
        ("--shard", arguments.shard),
    ):
        _refuse(value, option, "leave it out: the scenario has no sweep")
    if planned.scenario.engine == "simulate":
        _refuse(arguments.pcap, "--pcap", "leave it out: nothing crosses a simulated link")
        _refuse(arguments.cli, "--cli", "leave it out: there is no fabric to look at")
    if arguments.cli:
        _refuse(arguments.pcap, "--pcap", "leave it out: --cli serves nothing")
        _refuse(arguments.serve, "--serve", "leave it out: --cli serves nothing")


def _refuse(value: object, option: str, remedy: str) -> None:
    if value:
        raise ScenarioError(option, value, remedy)


def _out(scenario: Scenario, arguments: argparse.Namespace) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return arguments.out or Path("runs") / f"{scenario.name}-{stamp}"


if __name__ == "__main__":
    sys.exit(main())
