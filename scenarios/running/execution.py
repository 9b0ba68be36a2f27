"""One scenario from plan to report: what `run`, `sweep` and `validate` have in common."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from plan.deployment import System
from plan.errors import BrokenOff, MachineError, RunError
from plan.model import Plan, write_plan
from scenarios.configuration.loading import resolved_yaml, with_dilation
from scenarios.configuration.schema import Scenario
from scenarios.configuration.systems import BASELINE, title
from scenarios.planning.plan import Planned, make_plan
from scenarios.results import provenance
from scenarios.results.readable_json import write_json
from scenarios.results.record_files import write
from scenarios.results.result import SystemResult
from scenarios.results.summary import Summary
from scenarios.results.taps import Tap, find_taps
from scenarios.running import compiled
from scenarios.running.display import Progress
from scenarios.running.journal import JOURNAL, Journal
from scenarios.running.outcome import (
    BROKEN_OFF,
    DONE,
    DOUBTED,
    FAILED,
    Outcome,
    explained,
    status_of,
)
from scenarios.running.pace import AwakeClock
from scenarios.running.run_directory import claim
from topology import machine, sandbox

KILLED = 128
"""Exit statuses above it stand for signals."""


def enter_sandbox(*further: str, capture: bool = False) -> None:
    """Go on inside a sandbox: there this does nothing, outside it ends the process with the
    status of the same command inside.

    Args:
        further: arguments added to the command's, inside.
        capture: links are to be recorded.

    Raises:
        MachineError: this machine cannot emulate.
        RunError: the command inside was killed.
    """
    if sandbox.inside():
        return
    if problems := machine.check(capture=capture):
        raise MachineError(
            "; ".join(problem.what for problem in problems),
            "; ".join(problem.remedy for problem in problems),
        )
    status = sandbox.run_inside(*further)
    if status > KILLED and status != BROKEN_OFF:
        raise RunError(f"the run was killed by {signal.Signals(status - KILLED).name}")
    sys.exit(status)


def run_scenario(
    scenario: Scenario, out: Path, pcap: Sequence[str] = (), planned: Planned | None = None
) -> Outcome:
    """Serve a scenario's agents by every system it names and write the report.

    Whatever fails on the way, what was served before is reported, and the outcome says why
    it ended.

    Args:
        out: the run's directory, new or empty.
        pcap: names of NICs and links to record; only where it is emulated.
        planned: its plan, if that has been made.

    Raises:
        ScenarioError: something in it cannot be honoured; nothing was started.
    """
    planned = planned or make_plan(scenario)
    taps = find_taps(planned.plan, pcap)
    claim(out)
    with Journal(out / JOURNAL) as journal:
        journal.begins(scenario.name, scenario.engine, [s.name for s in scenario.compared])
        outcome = _served(planned.scenario, planned, out, taps, journal)
        journal.ends(outcome.status, outcome.error)
    return outcome


def _served(
    scenario: Scenario, planned: Planned, out: Path, taps: Sequence[Tap], journal: Journal
) -> Outcome:
    # a simulated run computes all the time
    clock = AwakeClock() if scenario.engine == "simulate" else time.monotonic
    with Progress(now=clock) as progress:
        run = _Run(scenario, planned, out, taps, progress, journal)
        ended = run.serve()
        if not run.results:
            if ended.status == BROKEN_OFF:
                progress.note("broken off before anything was measured")
            return ended
        if ended.status != DONE:
            progress.note("writing the report of what is there")
    journal.phase("report")
    try:
        summary = run.report(ended.error)
    except Exception as error:
        return Outcome(FAILED, error=ended.error or explained(error, out))
    _tell(summary, out)
    if ended.status != DONE:
        return Outcome(ended.status, summary, ended.error)
    verdicts = [figures.fidelity.verdict for figures in summary.systems.values()]
    return Outcome(DOUBTED if "not believable" in verdicts else DONE, summary)


class _Run:
    """A run on its way, and what there is of it, however it ends.

    Attributes:
        results: of the systems that were served, the last one perhaps in part.
    """

    def __init__(
        self,
        scenario: Scenario,
        planned: Planned,
        out: Path,
        taps: Sequence[Tap],
        progress: Progress,
        journal: Journal,
    ) -> None:
        self.results: list[SystemResult] = []
        self._scenario, self._plan, self._out, self._taps = scenario, planned.plan, out, taps
        self._warnings = planned.warnings
        self._progress = progress
        self._journal = journal
        self._serving: System | None = None
        self._dilation: str | None = None
        self._datapath: str | None = None

    def serve(self) -> Outcome:
        """Serve all systems; the outcome knows of no figures yet."""
        try:
            self._announce()
            self._settle()
            if self._scenario.engine == "simulate":
                self._simulate()
            else:
                self._emulate()
        except (KeyboardInterrupt, BrokenOff):
            return Outcome(BROKEN_OFF)
        except Exception as error:
            where = f"{self._serving.name}: " if self._serving else ""
            return Outcome(status_of(error), error=where + explained(error, self._out))
        return Outcome(DONE)

    def report(self, error: str | None) -> Summary:
        """Write the report of what was served.

        Args:
            error: why that is not all.
        """
        command = ["python", *sys.orig_argv[1:]]
        facts = provenance.collect(
            command,
            self._scenario.seed,
            datapath=self._datapath,
            core=compiled.kind() if self._scenario.engine == "simulate" else None,
            dilation=self._dilation,
        )
        digests = {name: plugin.digest for name, plugin in self._plan.plugins.items()}
        facts = msgspec.structs.replace(facts, plugins=digests)
        write_json(self._out / "provenance.json", facts)
        # more than a second that need not pass before a run begins
        from scenarios.reports.report import write_report

        return write_report(
            self._out, self._scenario, self._plan, self.results, facts, self._warnings, error
        )

    def _announce(self) -> None:
        for warning in self._warnings:
            self._progress.note(f"warning: {warning}")
        self._progress.note(
            f"{self._scenario.name}: {_agents(self._plan)}, "
            f"{len(self._scenario.compared)} systems; results in {self._out}"
        )

    def _settle(self) -> None:
        """Find the dilation, if this machine is to say, and write down what will be served."""
        scenario, plan, out = self._scenario, self._plan, self._out
        if scenario.engine == "emulate" and scenario.scale.dilation == "auto":
            from scenarios.running.calibration import at_dilation, calibrate

            self._journal.phase("calibration")
            found = calibrate(plan, scenario.compared, out / "calibration", self._progress.note)
            self._plan, self._dilation = at_dilation(plan, found.dilation), found.reason
            self._scenario = with_dilation(scenario, found.dilation)
        (out / "scenario.yaml").write_text(resolved_yaml(self._scenario))
        write_plan(self._plan, out / "plan.json")

    def _simulate(self) -> None:
        sample_s = float(self._scenario.report.sample)
        self._progress.note(f"in virtual time, {compiled.kind()}")
        # the nodes' own code, which a run is not to be announced later for
        from scenarios.running import simulation

        for system in self._scenario.compared:
            place = self._begin(system)
            update = self._progress.update
            self._keep(simulation.serve(self._plan, system, sample_s, place, self._journal, update))

    def _emulate(self) -> None:
        # what they load is an extra, and a second's work
        from scenarios.running import emulation
        from scenarios.running.fabric import open_fabric

        planned = self._plan.fabric
        hosts = sum(1 + node.gpus for node in planned.nodes)
        self._progress.note(
            f"building the fabric: {hosts} hosts, {len(planned.switches)} switches,"
            f" frames of {planned.mtu} bytes"
        )
        sample_s = self._plan.scale.wall_s(float(self._scenario.report.sample))
        with open_fabric(self._plan, self._out, sample_s, self._journal) as fabric:
            self._datapath = fabric.network.daemons.datapath
            for system in self._scenario.compared:
                place = self._begin(system)
                update = self._progress.update
                self._keep(emulation.serve(self._plan, system, fabric, place, update, self._taps))
            self._serving = None

    def _begin(self, system: System) -> Path:
        self._serving = system
        directory = self._out / "systems" / system.name
        directory.mkdir(parents=True)
        self._progress.system(system.name, self._plan.requests, self._plan.end)
        return directory

    def _keep(self, result: SystemResult) -> None:
        """Results are on disk as soon as they are there.

        Raises:
            BrokenOff: the user ended the run in this system.
        """
        self.results.append(result)
        self._journal.over(result.system.name, len(result.records), complete=result.complete)
        directory = self._out / "systems" / result.system.name
        write(directory / "nodes.jsonl", result.node_stats)
        write_json(directory / "ending.json", result.ending)
        if not result.complete:
            raise BrokenOff


def _agents(plan: Plan) -> str:
    """What is to be served."""
    trajectories = len(plan.trajectories)
    if plan.requests is None:
        return f"agents without end, sampled from {trajectories} trajectories"
    return f"{trajectories} agents, {plan.requests} requests"


def _tell(summary: Summary, out: Path) -> None:
    for name, figures in summary.systems.items():
        done = "JCT -" if figures.jct_s is None else f"JCT {figures.jct_s:.1f} s"
        if figures.jct_s is None and figures.service and figures.ttft_s:
            kept = "kept" if figures.service.met else "missed"
            rises = " and still rising" if figures.ttft_rising else ""
            done = f"SLO {kept}, mean TTFT {figures.ttft_s.mean:.3g} s{rises}"
        speedup = summary.speedup_over_basic.get(name)
        gain = f", {speedup:.2f}x over {title(BASELINE)}" if speedup and name != BASELINE else ""
        print(f"{name}: {done}{gain}; {figures.fidelity.verdict}")
        for reason in figures.fidelity.reasons:
            print(f"    {reason}")
    print(f"report: {out / 'report.html'}")
