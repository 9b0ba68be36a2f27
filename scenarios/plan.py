"""What to build for a workload: `dualpath plan SCENARIO --nodes N`.

For a scenario's model, GPU, NICs, trajectories and SLO: which split of so many nodes into
prefill and decode nodes bears how many agents a second under each of its systems, which resource
binds it, and what twice of each resource would buy. By arithmetic, in which no request waits for
another: a quick estimate, mostly from above. With --simulate N the best N are then simulated, each
searched for its capacity, in a slice of the cluster (--slice); broken off, the same command goes
on. With --out it writes plan.html and plan.json.

    dualpath plan online-660b --nodes 6
    dualpath plan online-27b --gpus 64 --set "cluster.snic=800 Gbit/s" --set "slo.tpot=30 ms"

Exit status: 0 done; 1 a run failed; 2 the scenario or the command line is wrong; 130 broken off.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from plan.errors import RunError, ScenarioError
from scenarios.analysis import capacity
from scenarios.analysis.planner import Choice, buildable, choose, demand_of, evaluate, upgrades
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.online import Arrival
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import Rate, Ratio, count
from scenarios.overrides import add_overrides, overrides
from scenarios.planning.plan import make_plan
from scenarios.planning.trajectories import make_trajectories
from scenarios.running.capacity_search import CapacitySearch
from scenarios.running.fleet import Fleet, add_cluster, fleet
from scenarios.running.outcome import BROKEN_OFF, DONE, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import claim, take_up

MOST_NODES = 512
PRECISION = 0.1
"""Of a simulated capacity, as a share of it."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _plan(arguments))


def _plan(arguments: argparse.Namespace) -> int:
    scenario = load_scenario(library.find(arguments.scenario), overrides(arguments))
    nodes = _nodes(scenario, arguments)
    if arguments.simulate and arguments.out is None:
        remedy = "give --out, too: runs need a directory"
        raise ScenarioError("--simulate", arguments.simulate, remedy)
    if arguments.out is not None:
        _open(arguments.out, scenario, nodes)
    from scenarios.reports.plan_report import Deployment, print_tables, write

    demand = demand_of(make_trajectories(scenario)[0])
    choices = choose(scenario, demand, nodes)
    surface = [
        evaluate(scenario, demand, prefill, decode, system)
        for system in scenario.compared
        for prefill in _sizes(nodes)
        for decode in _sizes(nodes)
    ]
    deployment = Deployment(
        scenario=scenario.name,
        nodes=nodes,
        gpus=nodes * scenario.cluster.gpus_per_node,
        demand=demand,
        choices=choices,
        upgrades=upgrades(scenario, demand, buildable(choices)[0]),
        surface=surface,
    )
    print_tables(deployment)
    if arguments.out is None:
        return DONE
    with handed_over(arguments.out):
        write(deployment, arguments.out)
        print(f"page: {arguments.out / 'plan.html'}")
        if not arguments.simulate:
            return DONE
        with fleet(arguments.cluster, arguments.jobs or len(os.sched_getaffinity(0))) as runners:
            bearing = [choice for choice in buildable(choices) if choice.capacity_aps]
            best = bearing[: arguments.simulate]
            try:
                for choice, simulated in _simulated(scenario, best, arguments, runners):
                    deployment.simulated_aps[f"{choice.label} {choice.system}"] = simulated
                    write(deployment, arguments.out)
                    print(
                        f"{choice.label} {choice.system}: {simulated:.3g} agents/s simulated,"
                        f" {choice.capacity_aps:.3g} by arithmetic"
                    )
            except KeyboardInterrupt:
                return BROKEN_OFF
    return DONE


def _open(out: Path, scenario: Scenario, nodes: int) -> None:
    """Make the plan's directory, or take up that of the same plan, whose searches go on.

    Raises:
        ScenarioError: it holds something else.
    """
    try:
        held = msgspec.json.decode((out / "plan.json").read_bytes(), type=_Held)
    except (OSError, msgspec.DecodeError):
        held = None
    if held == _Held(scenario=scenario.name, nodes=nodes):
        take_up(out)
    else:
        claim(out)


class _Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory's plan is of."""

    scenario: str
    nodes: int


def _sizes(nodes: int) -> list[int]:
    """Nodes of a side in the picture: a dozen sizes up to all but one."""
    step = max(1, -(-(nodes - 1) // 12))
    return list(range(1, nodes, step))


def _simulated(
    scenario: Scenario, choices: Sequence[Choice], arguments: argparse.Namespace, runners: Fleet
) -> Iterator[tuple[Choice, float]]:
    """Each with its simulated capacity, agents per second of whole nodes.

    Raises:
        RunError: no rate kept the SLO.
        KeyboardInterrupt: the user broke a search off.
    """
    for choice in choices:
        one = sliced(scenario, choice, arguments.slice)
        out = arguments.out / f"{choice.label}-{choice.system}"
        search = CapacitySearch(one, out, runners)
        assert one.workload.arrivals is not None
        start = capacity.rounded(float(one.workload.arrivals.rate or 1))
        for _ in search.run(partial(capacity.of_search, start, PRECISION)):
            pass
        if search.broken_off:
            raise KeyboardInterrupt
        found = capacity.conclude(search.points).systems[choice.system].capacity_aps
        if found is None:
            raise RunError(f"{choice.label} {choice.system}: no rate kept the SLO; see {out}")
        yield choice, found / float(arguments.slice)


def sliced(scenario: Scenario, choice: Choice, share: Ratio) -> Scenario:
    """The scenario of a choice in a slice of its nodes, agents arriving at the rate that it is
    to bear.

    Raises:
        ScenarioError: it cannot be honoured.
    """
    replace = msgspec.structs.replace
    [system] = [one for one in scenario.compared if one.name == choice.system]
    rate = capacity.rounded(choice.capacity_aps * float(share))
    one = replace(
        scenario,
        name=f"{scenario.name[:40]}-{choice.label}",
        engine="simulate",
        systems=(system,),
        cluster=replace(
            scenario.cluster, prefill=choice.prefill, decode=choice.decode, slice=share
        ),
        workload=replace(scenario.workload, arrival=Arrival(rate=Rate(rate))),
    )
    make_plan(one)
    return one


def _nodes(scenario: Scenario, arguments: argparse.Namespace) -> int:
    g = scenario.cluster.gpus_per_node
    if arguments.gpus is not None and arguments.gpus % g:
        raise ScenarioError("--gpus", arguments.gpus, f"write a multiple of a node's {g}")
    given = arguments.nodes or (arguments.gpus and arguments.gpus // g)
    nodes = int(given or scenario.cluster.prefill + scenario.cluster.decode)
    if not 2 <= nodes <= MOST_NODES:
        remedy = f"write 2 to {MOST_NODES} nodes"
        raise ScenarioError("--nodes", nodes, remedy, "are none to choose a split of")
    return nodes


def _ratio(text: str) -> Ratio:
    try:
        share = Ratio(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write 1/8") from None
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write 1/8")
    return share


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath plan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", type=Path, help="YAML file, or a name of the library")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--nodes", type=count, help="in all (default: the scenario's)")
    budget.add_argument("--gpus", type=count, help="in all, instead")
    add_overrides(parser)
    parser.add_argument("--simulate", type=count, metavar="N", help="simulate the best N, too")
    parser.add_argument(
        "--slice",
        type=_ratio,
        default=Ratio("1/8"),
        help="share of every node that is simulated (default: 1/8)",
    )
    parser.add_argument("--jobs", type=count, help="simulated runs at once (default: all cores)")
    add_cluster(parser)
    parser.add_argument(
        "--out", type=Path, help="directory for the page, new, empty or of the same plan"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
