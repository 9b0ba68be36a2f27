"""Find capacities: runs of each system at one arrival rate after another (paper section 7.4).

Every run has a directory of its own in `points/`; those that are there already, of the same
scenario, are taken as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from plan.deployment import System
from plan.errors import ScenarioError
from scenarios.analysis.capacity import UNDECIDED, Point, bracket, digits, directory
from scenarios.configuration.online import PAPERS_END, Arrival
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import Rate
from scenarios.results.summary import Summary, SystemSummary
from scenarios.running.fleet import Fleet
from scenarios.running.held import check_same, clear, is_done, open_points, summary_of
from scenarios.running.outcome import BROKEN_OFF, FAILED, Outcome, complain
from scenarios.running.side_runs import Run, attempt, side_runs

Propose = Callable[[Sequence[Point], int], list[float]]
"""From a system's points and how many are wanted to the rates to try next."""


class CapacitySearch:
    """The runs of a search.

    Args:
        scenario: with arrivals at a rate, which each run replaces by its own.
        out: the search's directory, new or one to take up.
        fleet: who runs; of one place where they are emulated here.

    Attributes:
        points: by system, in the order in which they ran.
        broken_off: the user ended it.

    Raises:
        ScenarioError: `out` holds something else, or points of another scenario.
    """

    def __init__(self, scenario: Scenario, out: Path, fleet: Fleet) -> None:
        self._scenario, self._out, self._fleet = scenario, out, fleet
        self._directory = open_points(out, "search for capacities")
        self.points = {system.name: self._held(system) for system in scenario.compared}
        self.broken_off = False

    def run(self, propose: Propose) -> Iterator[None]:
        """Try rates as long as any are proposed; gives way after every run."""
        try:
            while wanted := self._wanted(propose):
                for (system, rate), outcome in self._ended(wanted):
                    point = _point(rate, system.name, outcome)
                    self.points[system.name].append(point)
                    self._tell(system, point)
                    if outcome.status == BROKEN_OFF:
                        raise KeyboardInterrupt
                    yield
        except KeyboardInterrupt:
            self.broken_off = True

    def _wanted(self, propose: Propose) -> list[tuple[System, float]]:
        """The next runs: as many of each system as there are places for."""
        systems = [s for s in self._scenario.compared if propose(self.points[s.name], 1)]
        each = max(1, self._fleet.places // max(1, len(systems)))
        return [(s, rate) for s in systems for rate in propose(self.points[s.name], each)]

    def _ended(
        self, wanted: Sequence[tuple[System, float]]
    ) -> Iterator[tuple[tuple[System, float], Outcome]]:
        runs = []
        for system, rate in wanted:
            run = Run(at_rate(self._scenario, system, rate), self._place(system, rate))
            check_same(self._out, run.out, run.out.name, run.scenario)
            clear(run.out)
            runs.append(run)
        if self._fleet.places == 1 and not self._fleet.elsewhere:
            for one, run in zip(wanted, runs, strict=True):
                yield one, attempt(run)
            return
        tried = ", ".join(f"{system.name} at {digits(rate)} /s" for system, rate in wanted)
        print(f"[{self._done} runs] at once: {tried}", file=sys.stderr)
        for place, outcome in side_runs(runs, self._fleet):
            yield wanted[place], outcome

    def _held(self, system: System) -> list[Point]:
        """The points of a system that are there already."""
        found = []
        for place in sorted(self._directory.glob(f"{system.name}-*")):
            try:
                rate = float(place.name.removeprefix(f"{system.name}-"))
            except ValueError:
                continue  # of a system whose name goes on
            scenario = at_rate(self._scenario, system, rate)
            check_same(self._out, place, place.name, scenario)
            if is_done(scenario, place):
                found.append(_point(rate, system.name, Outcome(0, summary_of(place))))
        return found

    def _place(self, system: System, rate: float) -> Path:
        return self._directory / directory(system.name, rate)

    @property
    def _done(self) -> int:
        return sum(map(len, self.points.values()))

    def _tell(self, system: System, point: Point) -> None:
        where = f"{system.name} at {digits(point.aps)} /s"
        if point.error is not None:
            complain(f"{where}: {point.error}")
            return
        kept, beyond = bracket(self.points[system.name])
        ends = [("above", kept), ("below", beyond)]
        known = " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)
        ttft = "no first token" if point.ttft_s is None else f"mean TTFT {point.ttft_s:.3g} s"
        rises = " and rising" if point.said == UNDECIDED else ""
        said = f"SLO {point.said}, {ttft}{rises}"
        print(f"[{self._done} runs] {where}: {said}; capacity {known}", file=sys.stderr)


def at_rate(scenario: Scenario, system: System, rate: float) -> Scenario:
    """The scenario with one system and agents that arrive at that rate.

    A run ends early when mean TTFT over its window is beyond the SLO: more is not to be known
    of it.

    Raises:
        ScenarioError: its agents do not arrive at a rate.
    """
    arrival = scenario.workload.arrivals or Arrival(rate=Rate(rate))
    if arrival.rate is None:
        raise ScenarioError(
            "workload.arrival", "not a rate", "write the rate to begin with, e.g. 0.45 /s"
        )
    end = scenario.run.end if scenario.run.end.given else PAPERS_END
    if not scenario.run.end.ttft_beyond:
        end = msgspec.structs.replace(end, ttft_beyond=scenario.slo.ttft)
    replace = msgspec.structs.replace
    return replace(
        scenario,
        name=f"{scenario.name[:24]}-{system.name[:24]}-{digits(rate)}",
        systems=(system,),
        workload=replace(scenario.workload, arrival=replace(arrival, rate=Rate(rate))),
        run=replace(scenario.run, end=end),
        sweep=None,
    )


def _point(rate: float, system: str, outcome: Outcome) -> Point:
    summary = outcome.summary
    if summary is None or outcome.error is not None or outcome.status == BROKEN_OFF:
        return Point(aps=rate, error=outcome.error or _why(outcome))
    return _figures(rate, summary.systems[system], summary)


def _why(outcome: Outcome) -> str:
    return "broken off" if outcome.status in (BROKEN_OFF, FAILED) else "left no figures"


def _figures(rate: float, figures: SystemSummary, summary: Summary) -> Point:
    means = {
        name: None if found is None else found.mean
        for name, found in (
            ("ttft_s", figures.ttft_s),
            ("ttst_s", figures.ttst_s),
            ("tpot_s", figures.tpot_s),
            ("agent_jct_s", figures.agent_jct_s),
        )
    }
    ended_by = figures.ending.ended_by if figures.ending else None
    kept = figures.service is not None and figures.service.met and ended_by != "ttft_beyond"
    undecided = kept and figures.ttft_rising
    held = figures.working_set
    return Point(
        aps=rate,
        **means,
        slo_met=None if undecided else kept,
        verdict=UNDECIDED if undecided else figures.fidelity.verdict,
        ended_by=ended_by,
        error=summary.error,
        ttft_parts_s=figures.ttft_parts_s,
        requests=figures.measured,
        agents=held.agents if held else None,
        working_set_bytes=held.mean_bytes if held else None,
        working_set_formula_bytes=held.formula_bytes if held else None,
    )
