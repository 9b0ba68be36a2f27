"""One scenario from plan to report: what `run`, `sweep` and `validate` have in common."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from plan.deployment import System
from plan.model import Plan
from scenarios.configuration.loading import resolved_yaml, with_dilation
from scenarios.configuration.schema import Scenario
from scenarios.errors import MachineError, ScenarioError
from scenarios.planning.plan import make_plan
from scenarios.reports.page import write_json
from scenarios.reports.report import write_records, write_report
from scenarios.results import provenance
from scenarios.results.result import SystemResult
from scenarios.results.summary import Summary
from scenarios.results.taps import Tap, find_taps
from scenarios.running import emulation, simulation
from scenarios.running.calibration import at_dilation, calibrate
from scenarios.running.display import Progress
from scenarios.running.fabric import open_fabric
from scenarios.running.outcome import BROKEN_OFF, DONE, DOUBTED
from topology import machine, sandbox


def enter_sandbox(*, capture: bool = False) -> None:
    """Go on inside a sandbox: there this does nothing, outside it ends the process with the
    status of the same command inside.

    Args:
        capture: links are to be recorded.

    Raises:
        MachineError: this machine cannot emulate.
    """
    if sandbox.inside():
        return
    if problems := machine.check(capture=capture):
        raise MachineError(
            "; ".join(problem.what for problem in problems),
            "; ".join(problem.remedy for problem in problems),
        )
    sandbox.enter()


def run_scenario(
    scenario: Scenario, out: Path, *, cli: bool = False, pcap: Sequence[str] = ()
) -> tuple[int, Summary | None]:
    """Serve a scenario's agents by every system it names and write the report.

    Args:
        out: the run's directory, new or empty.
        cli: Mininet's prompt on the fabric instead.
        pcap: names of NICs and links to record; only where it is emulated.

    Returns:
        Exit status, and the figures if anything was measured.

    Raises:
        ScenarioError: something in it cannot be honoured.
        RunError, TopologyError, Deadlock: it could not be finished.
    """
    planned = make_plan(scenario)
    taps = find_taps(planned.plan.fabric, pcap)
    claim(out)
    plan = planned.plan
    dilation = None
    results: list[SystemResult] = []
    names = [system.name for system in scenario.compared]
    trajectories = plan.trajectories
    turns = sum(len(trajectory.turns) for trajectory in trajectories)
    with Progress() as progress:
        for warning in planned.warnings:
            progress.note(f"warning: {warning}")
        progress.note(
            f"{scenario.name}: {len(trajectories)} agents, {turns} requests, "
            f"{len(names)} systems; results in {out}"
        )
        try:
            if scenario.engine == "emulate" and scenario.scale.dilation == "auto" and not cli:
                found = calibrate(plan, scenario.compared, out / "calibration", progress.note)
                plan, dilation = at_dilation(plan, found.dilation), found.reason
                scenario = with_dilation(scenario, found.dilation)
            (out / "scenario.yaml").write_text(resolved_yaml(scenario))
            emulation.write_inputs(plan, out)
            if scenario.engine == "simulate":
                datapath = None
                _simulate(scenario, plan, out, progress, results)
            else:
                datapath = _emulate(scenario, plan, out, progress, results, taps, cli=cli)
        except KeyboardInterrupt:
            datapath = None
            progress.note("broken off; writing the report of what is there")
    if cli:
        return DONE, None
    if not results:
        print("broken off before anything was measured", file=sys.stderr)
        return BROKEN_OFF, None
    command = ["python", *sys.orig_argv[1:]]
    facts = provenance.collect(command, scenario.seed, datapath, dilation)
    write_json(out / "provenance.json", facts)
    summary = write_report(out, scenario, plan, results, facts, planned.warnings)
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
        if not result.complete:
            break


def _emulate(
    scenario: Scenario,
    plan: Plan,
    out: Path,
    progress: Progress,
    results: list[SystemResult],
    taps: Sequence[Tap],
    *,
    cli: bool,
) -> str:
    progress.note("building the fabric")
    sample_s = plan.scale.wall_s(float(scenario.report.sample))
    with open_fabric(plan, out, sample_s) as fabric:
        if cli:
            progress.end()
            fabric.network.cli()
            return fabric.network.daemons.datapath
        for system in scenario.compared:
            directory = _begin(system, plan, out, progress)
            result = emulation.serve(plan, system, fabric, directory, progress.update, taps)
            _keep(result, out, results)
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
    directory = out / "systems" / result.system.name
    write_records(directory / "requests.jsonl", result.records)
    write_records(directory / "counters.jsonl", result.samples)
    write_records(directory / "backlog.jsonl", result.backlog)
    write_records(directory / "nodes.jsonl", result.node_stats)


def _announce(summary: Summary, out: Path) -> None:
    for name, figures in summary.systems.items():
        jct = "-" if figures.jct_s is None else f"{figures.jct_s:.1f} s"
        speedup = summary.speedup_over_basic.get(name)
        gain = f", {speedup:.2f}x over Basic" if speedup and name != "basic" else ""
        print(f"{name}: JCT {jct}{gain}; {figures.fidelity.verdict}")
        for reason in figures.fidelity.reasons:
            print(f"    {reason}")
    print(f"report: {out / 'report.html'}")
