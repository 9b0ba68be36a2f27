"""Validate the engines against each other: `sudo python -m scenarios.validate NAME.yaml ...`.

Runs every scenario emulated, and simulated several times, and sets their figures side by side:
a table on standard output, `validation.json`, and `validation.html` with a picture. The
simulated runs differ in nothing but the latency of a message, and so in who comes first where
that is a matter of microseconds: their mean is compared, their spread is shown. Each run leaves
its own report beside them; a run that fails keeps no other scenario from being compared. Exit
status: 0 the marks hold (JCT within 5 %, mean TTFT within 10 %, utilisations within 3 points; of
agents that arrive, p99 TTFT within 20 % and TPOT within 5 %);
1 a run failed; 2 a scenario or the command line is wrong; 3 this machine lacks something; 4 an
emulated run is not to be believed, so nothing follows from it; 5 a mark does not hold; 130
broken off.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from plan.errors import BrokenOff, RunError, ScenarioError
from scenarios.analysis.agreement import (
    Validation,
    compare,
)
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import Duration, count
from scenarios.planning.memory import check_jobs
from scenarios.planning.plan import make_plan
from scenarios.results.summary import Summary
from scenarios.running.execution import enter_sandbox, run_scenario
from scenarios.running.fleet import Here
from scenarios.running.outcome import (
    BROKEN_OFF,
    DONE,
    DOUBTED,
    FAILED,
    Outcome,
    complain,
    concluded,
)
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import claim
from scenarios.running.side_runs import Run, side_runs

MISSED = 5
LATENCY_STEP = 0.5
"""Each simulated run's message latency is longer than the last's by so much of the first's."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    paths = [path for asked in arguments.scenario for path in library.find_all(asked)]
    scenarios = [load_scenario(path, arguments.set) for path in paths]
    _check_names(scenarios)
    for scenario in scenarios:
        make_plan(scenario)
    jobs = arguments.jobs or len(os.sched_getaffinity(0))
    if arguments.jobs:
        check_jobs(arguments.jobs)
    enter_sandbox()
    out = arguments.out or Path("runs") / f"validation-{time.strftime('%Y%m%d-%H%M%S')}"
    claim(out)
    with handed_over(out):
        validations = list(_validated(scenarios, out, arguments.repeats, jobs))
    print(f"report: {out / 'validation.html'}")
    if any(validation.error is not None for validation in validations):
        return FAILED
    if not all(validation.believable for validation in validations):
        return DOUBTED
    return DONE if all(validation.holds for validation in validations) else MISSED


def _validated(
    scenarios: Sequence[Scenario], out: Path, repeats: int, jobs: int
) -> Iterator[Validation]:
    """Validate one after the other; what there is of it is written each time."""
    from scenarios.reports.validation_report import print_table, write

    validations = []
    for scenario in scenarios:
        validation = validate(scenario, out / scenario.name, repeats, jobs)
        validations.append(validation)
        write(validations, out)
        print_table(validation)
        if validation.error is not None:
            complain(f"{scenario.name}: {validation.error}")
        yield validation


def validate(scenario: Scenario, out: Path, repeats: int, jobs: int = 1) -> Validation:
    """Run a scenario by both engines; inside a sandbox. A run that fails leaves nothing to
    compare but its error.

    Args:
        out: new or empty; the runs go to `out/emulate` and `out/simulate-1` to `-repeats`.
        jobs: simulated runs at once.

    Raises:
        BrokenOff: the user ended a run before it was done.
        ScenarioError: as `run_scenario`.
    """
    found = Validation(scenario=scenario.name, description=scenario.description)
    try:
        emulated = _figures(run_scenario(_by(scenario, "emulate"), out / "emulate"))
        simulated = _simulated(scenario, out, repeats, jobs)
    except RunError as error:
        return msgspec.structs.replace(found, error=str(error))
    return msgspec.structs.replace(
        found,
        verdicts={name: s.fidelity.verdict for name, s in emulated.systems.items()},
        systems=compare(emulated, simulated),
    )


def _with_latency(scenario: Scenario, factor: float) -> Scenario:
    latency = Duration(scenario.cluster.message_latency * factor)
    cluster = msgspec.structs.replace(scenario.cluster, message_latency=latency)
    return msgspec.structs.replace(scenario, cluster=cluster)


def _simulated(scenario: Scenario, out: Path, repeats: int, jobs: int) -> list[Summary]:
    runs = [
        Run(
            _with_latency(_by(scenario, "simulate"), 1 + LATENCY_STEP * i),
            out / f"simulate-{i + 1}",
        )
        for i in range(repeats)
    ]
    if jobs == 1:
        return [_figures(run_scenario(run.scenario, run.out)) for run in runs]
    found: dict[int, Summary] = {}
    for place, outcome in side_runs(runs, Here(jobs)):
        found[place] = _figures(outcome)
        print(f"simulated {len(found)} of {repeats} times", file=sys.stderr)
    return [found[place] for place in range(repeats)]


def _by(scenario: Scenario, engine: Literal["emulate", "simulate"]) -> Scenario:
    return msgspec.structs.replace(scenario, engine=engine)


def _figures(outcome: Outcome) -> Summary:
    if outcome.error is not None:
        raise RunError(outcome.error)
    if outcome.summary is None or outcome.status == BROKEN_OFF:
        raise BrokenOff
    return outcome.summary


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath validate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenario", nargs="+", type=Path, help="YAML file, name, or pattern such as 'validation/*'"
    )
    parser.add_argument("--out", type=Path, help="directory (default: runs/validation-TIME)")
    parser.add_argument(
        "--repeats", type=count, default=5, help="simulated runs of a scenario (default: 5)"
    )
    parser.add_argument("--jobs", type=count, help="simulated runs at once (default: all cores)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="override a key of every scenario; may be given again",
    )
    return parser.parse_args(argv)


def _check_names(scenarios: Sequence[Scenario]) -> None:
    names = [scenario.name for scenario in scenarios]
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError("name", name, "give every scenario a name of its own")


if __name__ == "__main__":
    sys.exit(main())
