"""Run a scenario: `sudo python -m scenarios.run scenarios/NAME.yaml`.

Builds what the scenario describes, serves its agents by every system it names, and writes a
report. Exit status: 0 the run is done and to be believed; 1 it failed; 2 the scenario or
the command line is wrong; 3 this machine lacks something; 4 the run is done but its figures
are not to be believed (the report says why); 130 it was broken off, the report holds what
was there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nodes.virtual_time import Deadlock
from scenarios.errors import MachineError, RunError, ScenarioError
from scenarios.execution import DONE, FAILED, LACKING, WRONG, enter_sandbox, run_scenario
from scenarios.planning import make_plan
from scenarios.schema import Scenario, load_scenario
from topology import machine
from topology.errors import TopologyError

QUICKSTART = Path(__file__).parent / "quickstart.yaml"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    if arguments.check:
        return _check()
    try:
        scenario = _scenario(arguments)
        make_plan(scenario)
        if scenario.engine == "emulate":
            enter_sandbox()
        return run_scenario(scenario, _out(scenario, arguments), arguments.cli)[0]
    except ScenarioError as error:
        return _fail(WRONG, error)
    except MachineError as error:
        return _fail(LACKING, error)
    except (RunError, TopologyError, Deadlock) as error:
        return _fail(FAILED, error)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scenarios.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", nargs="?", type=Path, default=QUICKSTART, help="YAML file")
    parser.add_argument("--out", type=Path, help="directory of the run (default: runs/NAME-TIME)")
    parser.add_argument("--systems", help="comma-separated names, instead of the scenario's")
    parser.add_argument(
        "--engine", choices=("emulate", "simulate"), help="instead of the scenario's"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="override a key of the scenario; may be given again",
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
    overrides = list(arguments.set)
    if arguments.systems:
        overrides.append(f"systems=[{arguments.systems}]")
    if arguments.engine:
        overrides.append(f"engine={arguments.engine}")
    return load_scenario(arguments.scenario, overrides)


def _out(scenario: Scenario, arguments: argparse.Namespace) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return arguments.out or Path("runs") / f"{scenario.name}-{stamp}"


def _fail(status: int, error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
