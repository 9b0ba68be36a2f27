"""Find capacities: `python -m scenarios.capacity SCENARIO`.

For every system of a scenario whose agents arrive at a rate, the largest rate at which its SLO
is kept: by doubling or halving from the scenario's own rate and then between the last two, or
among given ones. Of a scenario with a sweep, at every one of its points. Simulated runs go side
by side. The same command with the same --out goes on where it was broken off, and takes the runs
that are there.

Exit status: 0 done; 1 a run failed; 2 the scenario or the command line is wrong; 3 this machine
lacks something; 4 figures of a run are not to be believed; 130 broken off.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from plan.errors import ScenarioError
from scenarios.analysis import capacity
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario, resolved_yaml
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import count
from scenarios.overrides import add_overrides, overrides
from scenarios.planning.memory import check_jobs
from scenarios.planning.plan import make_plan
from scenarios.planning.points import load_points
from scenarios.running.capacity_search import CapacitySearch, Propose, at_rate
from scenarios.running.execution import enter_sandbox
from scenarios.running.fleet import add_cluster, fleet
from scenarios.running.outcome import BROKEN_OFF, DONE, DOUBTED, FAILED, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import take_up

AUTO = "auto"
PRECISION = 0.05


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _found(arguments))


def _found(arguments: argparse.Namespace) -> int:
    path, given = library.find(arguments.scenario), overrides(arguments)
    scenario = load_scenario(path, given)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    out = arguments.out or Path("runs") / f"capacity-{scenario.name}-{stamp}"
    if scenario.sweep is None:
        [(_, prepared)] = _prepared([("", scenario)], arguments)
        return _search(prepared, out, arguments.cluster)[1]
    points = load_points(path, given)
    prepared_points = _prepared([(p.label, p.scenario) for p in points], arguments)
    take_up(out)
    found: dict[str, capacity.Capacities] = {}
    statuses = []
    for point, (label, prepared) in zip(points, prepared_points, strict=True):
        print(f"{label} ({len(found) + 1} of {len(points)})", file=sys.stderr)
        found[label], status = _search(prepared, out / point.directory, arguments.cluster)
        statuses.append(status)
        from scenarios.reports.capacity_sweep_report import write_capacity_sweep

        with handed_over(out):
            write_capacity_sweep(out, scenario, found)
        if status == BROKEN_OFF:
            return status
    print(f"report of all points: {out / 'capacities.html'}")
    return next((s for s in (FAILED, DOUBTED) if s in statuses), DONE)


class _Prepared(NamedTuple):
    """A scenario that can be searched, and how."""

    scenario: Scenario
    propose: Propose
    jobs: int


def _prepared(
    scenarios: Sequence[tuple[str, Scenario]], arguments: argparse.Namespace
) -> list[tuple[str, _Prepared]]:
    """See, before anything runs, that all can be searched."""
    prepared = []
    for label, scenario in scenarios:
        propose = _proposing(scenario, arguments)
        for system in scenario.compared:
            make_plan(at_rate(scenario, system, 1.0))
        prepared.append((label, _Prepared(scenario, propose, _jobs(scenario, arguments.jobs))))
    emulated = any(scenario.engine == "emulate" for _, scenario in scenarios)
    if emulated and arguments.cluster is None:
        enter_sandbox()
    return prepared


def _search(prepared: _Prepared, out: Path, cluster: str | None) -> tuple[capacity.Capacities, int]:
    scenario = prepared.scenario
    with fleet(cluster, prepared.jobs) as found:
        search = CapacitySearch(scenario, out, found)
        _run(scenario, search, prepared.propose, out)
    _tell(search, out)
    return capacity.conclude(search.points), _status(search)


def _run(scenario: Scenario, search: CapacitySearch, propose: Propose, out: Path) -> None:
    with handed_over(out):
        (out / "scenario.yaml").write_text(resolved_yaml(scenario))
        for _ in search.run(propose):
            _write(scenario, search, out)
        _write(scenario, search, out)


def _write(scenario: Scenario, search: CapacitySearch, out: Path) -> None:
    # a second's work that need not pass before the first run
    from scenarios.reports.capacity_report import write_capacities

    write_capacities(out, scenario, capacity.conclude(search.points))


def _tell(search: CapacitySearch, out: Path) -> None:
    found = capacity.conclude(search.points)
    for name, one in found.systems.items():
        kept = "no rate tried" if one.capacity_aps is None else f"{one.capacity_aps:g} agents/s"
        ends = [("undecided", one.undecided_aps), ("missed", one.missed_aps)]
        told = ", ".join(f"{word} at {rate:g}" for word, rate in ends if rate is not None)
        above = f" ({told})" if told else ""
        gain = found.gain_over_basic.get(name)
        print(f"{name}: {kept}{above}{'' if gain is None else f', {gain:.2f}x over Basic'}")
    print(f"report: {out / 'capacity.html'}")


def _status(search: CapacitySearch) -> int:
    points = [point for found in search.points.values() for point in found]
    if search.broken_off:
        return BROKEN_OFF
    if any(point.error is not None for point in points):
        return FAILED
    return DOUBTED if any(point.verdict == "not believable" for point in points) else DONE


def _proposing(scenario: Scenario, arguments: argparse.Namespace) -> Propose:
    """How rates are chosen.

    Raises:
        ScenarioError: there is no rate to begin with, or what is given makes no sense.
    """
    if not 0 < arguments.precision < 1:
        remedy = "write a share of the capacity, e.g. 0.05"
        raise ScenarioError("--precision", arguments.precision, remedy)
    if arguments.rates != AUTO:
        return partial(capacity.of_grid, _rates(arguments.rates))
    arrival = scenario.workload.arrivals
    if arrival is None or arrival.rate is None:
        raise ScenarioError(
            "workload.arrival",
            "offline" if arrival is None else "not a rate",
            "write the rate to begin with, e.g. 0.45 /s, or give --rates",
        )
    start = capacity.rounded(float(arrival.rate))
    return partial(capacity.of_search, start, arguments.precision)


def _rates(text: str) -> list[float]:
    remedy = "write agents a second, e.g. 0.1,0.15,0.2, or auto"
    try:
        rates = [float(word) for word in text.split(",")]
    except ValueError:
        raise ScenarioError("--rates", text, remedy) from None
    if not all(0 < rate < float("inf") for rate in rates):
        raise ScenarioError("--rates", text, remedy, "are not all positive and finite")
    return rates


def _jobs(scenario: Scenario, asked: int | None) -> int:
    if scenario.engine == "emulate":
        if asked and asked > 1:
            remedy = "leave it out: emulated runs need the whole machine"
            raise ScenarioError("--jobs", asked, remedy)
        return 1
    if asked:
        check_jobs(asked)
    return asked or len(os.sched_getaffinity(0))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenario", type=Path, help="YAML file or name of a scenario whose agents arrive at a rate"
    )
    add_overrides(parser)
    parser.add_argument(
        "--rates", default=AUTO, help="agents a second, e.g. 0.1,0.15,0.2 (default: a search)"
    )
    parser.add_argument(
        "--precision",
        type=float,
        default=PRECISION,
        help="the search ends so near, as a share of the capacity (default: %(default)s)",
    )
    parser.add_argument("--jobs", type=count, help="simulated runs at once (default: all cores)")
    add_cluster(parser)
    parser.add_argument(
        "--out", type=Path, help="directory, new or to take up (default: runs/capacity-NAME-TIME)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
