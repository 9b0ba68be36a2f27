"""Run a scenario: `sudo python -m scenarios.run scenarios/NAME.yaml`.

Builds what the scenario describes, serves its agents by every system it names, and writes a
report. Exit status: 0 the run is done and to be believed; 1 it failed; 2 the scenario or
the command line is wrong; 3 this machine lacks something; 4 the run is done but its figures
are not to be believed (the report says why); 130 it was broken off, the report holds what
was there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from nodes.virtual_time import Deadlock
from plan.deployment import System
from plan.model import Plan
from scenarios import emulation, provenance, simulation
from scenarios.display import Progress
from scenarios.errors import MachineError, RunError, ScenarioError
from scenarios.metrics import Summary, SystemResult
from scenarios.planning import make_plan
from scenarios.report import write_records, write_report
from scenarios.schema import Scenario, load_scenario, resolved_yaml
from topology import machine, sandbox
from topology.errors import TopologyError

QUICKSTART = Path(__file__).parent / "quickstart.yaml"

DONE, FAILED, WRONG, LACKING, DOUBTED, BROKEN_OFF = 0, 1, 2, 3, 4, 130


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


def enter_sandbox() -> None:
    """Go on inside a sandbox: there this does nothing, outside it ends the process with the
    status of the same command inside.

    Raises:
        MachineError: this machine cannot emulate.
    """
    if sandbox.inside():
        return
    if problems := machine.check():
        raise MachineError(
            "; ".join(problem.what for problem in problems),
            "; ".join(problem.remedy for problem in problems),
        )
    sandbox.enter()


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


def run_scenario(scenario: Scenario, out: Path, cli: bool = False) -> tuple[int, Summary | None]:
    """Serve a scenario's agents by every system it names and write the report.

    Args:
        out: the run's directory, new or empty.
        cli: Mininet's prompt on the fabric instead.

    Returns:
        Exit status, and the figures if anything was measured.

    Raises:
        ScenarioError: something in it cannot be honoured.
        RunError, TopologyError, Deadlock: it could not be finished.
    """
    planned = make_plan(scenario)
    claim(out)
    (out / "scenario.yaml").write_text(resolved_yaml(scenario))
    emulation.write_inputs(planned.plan, out)
    results: list[SystemResult] = []
    names = [system.name for system in scenario.compared]
    trajectories = planned.plan.trajectories
    turns = sum(len(trajectory.turns) for trajectory in trajectories)
    with Progress() as progress:
        for warning in planned.warnings:
            progress.note(f"warning: {warning}")
        progress.note(
            f"{scenario.name}: {len(trajectories)} agents, {turns} requests, "
            f"{len(names)} systems; results in {out}"
        )
        try:
            if scenario.engine == "simulate":
                datapath = None
                _simulate(scenario, planned.plan, out, progress, results)
            else:
                datapath = _emulate(scenario, planned.plan, out, progress, results, cli)
        except KeyboardInterrupt:
            datapath = None
            progress.note("broken off; writing the report of what is there")
    if cli:
        return DONE, None
    if not results:
        print("broken off before anything was measured", file=sys.stderr)
        return BROKEN_OFF, None
    command = ["python", *sys.orig_argv[1:]]
    facts = provenance.collect(command, scenario.seed, datapath)
    (out / "provenance.json").write_bytes(msgspec.json.format(msgspec.json.encode(facts)))
    summary = write_report(out, scenario, planned.plan, results, facts, planned.warnings)
    _announce(summary, out)
    if len(results) < len(names) or not all(result.complete for result in results):
        return BROKEN_OFF, summary
    verdicts = [figures.fidelity.verdict for figures in summary.systems.values()]
    return (DOUBTED if "not believable" in verdicts else DONE), summary


def claim(out: Path) -> None:
    """Make the run's directory; never mix two runs.

    Raises:
        ScenarioError: there is something there already, or it can't be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScenarioError("--out", str(out), f"{error.strerror}: name another") from None
    if any(out.iterdir()):
        raise ScenarioError("--out", str(out), "name a new or empty directory", "is not empty")


def _simulate(
    scenario: Scenario, plan: Plan, out: Path, progress: Progress, results: list[SystemResult]
) -> None:
    for system in scenario.compared:
        _begin(system, plan, out, progress)
        result = simulation.serve(plan, system, float(scenario.report.sample), progress.update)
        _keep(result, out, results)


def _emulate(
    scenario: Scenario,
    plan: Plan,
    out: Path,
    progress: Progress,
    results: list[SystemResult],
    cli: bool,
) -> str:
    progress.note("building the fabric")
    sample_s = plan.scale.wall_s(float(scenario.report.sample))
    with emulation.fabric(plan, out, sample_s) as fabric:
        if cli:
            fabric.network.cli()
            return fabric.network.daemons.datapath
        for system in scenario.compared:
            directory = _begin(system, plan, out, progress)
            result = emulation.serve(plan, system, fabric, directory, progress.update)
            _keep(result, out, results)
            for blocks in directory.glob("*.blocks"):
                shutil.rmtree(blocks)
            if not result.complete:
                break
        return fabric.network.daemons.datapath


def _begin(system: System, plan: Plan, out: Path, progress: Progress) -> Path:
    directory = out / "systems" / system.name
    directory.mkdir(parents=True)
    progress.system(system.name, sum(len(t.turns) for t in plan.trajectories))
    return directory


def _keep(result: SystemResult, out: Path, results: list[SystemResult]) -> None:
    """Results are on disk as soon as they are there."""
    results.append(result)
    write_records(out / "systems" / result.system.name / "requests.jsonl", result.records)


def _announce(summary: Summary, out: Path) -> None:
    for name, figures in summary.systems.items():
        jct = "-" if figures.jct_s is None else f"{figures.jct_s:.1f} s"
        speedup = summary.speedup_over_basic.get(name)
        gain = f", {speedup:.2f}x over Basic" if speedup and name != "basic" else ""
        print(f"{name}: JCT {jct}{gain}; {figures.fidelity.verdict}")
        for reason in figures.fidelity.reasons:
            print(f"    {reason}")
    print(f"report: {out / 'report.html'}")


def _fail(status: int, error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
