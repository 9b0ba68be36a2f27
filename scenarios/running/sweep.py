"""Run a sweep: every point in a directory of its own, one report for all of them.

Emulated points run one after another, a fabric each; simulated ones side by side in
processes. A directory in which a sweep was broken off is taken up where it stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from plan.errors import ScenarioError
from scenarios.analysis.sweep_figures import gather
from scenarios.configuration.loading import resolved_yaml
from scenarios.configuration.schema import Scenario
from scenarios.planning.points import Point
from scenarios.running.fleet import Fleet, Here, Shard
from scenarios.running.held import POINTS, check_same, clear, is_done, open_points, summary_of
from scenarios.running.outcome import (
    BROKEN_OFF,
    DONE,
    DOUBTED,
    FAILED,
    Outcome,
    complain,
)
from scenarios.running.ownership import handed_over
from scenarios.running.side_runs import Run, attempt, side_runs


def run_sweep(
    scenario: Scenario,
    points: Sequence[Point],
    out: Path,
    fleet: Fleet | None = None,
    shard: Shard | None = None,
) -> int:
    """Run what `out` does not hold yet of a sweep and write `sweep.json` and `sweep.html`.

    A point that fails, or whose process is killed, does not keep the others from running.

    Args:
        scenario: that declares the sweep; points: all of it (`load_points`).
        fleet: who runs them; None: one after another, here.
        shard: the part of them that is run; others run in `out`, too. The report is written by
            whoever finds all points there.

    Returns:
        Exit status.

    Raises:
        ScenarioError: `out` holds something else.
    """
    left = prepare(out, points, shard)
    with handed_over(out):
        return _run_left(scenario, points, left, out, fleet or Here(1), shard)


def _run_left(
    scenario: Scenario,
    points: Sequence[Point],
    left: Sequence[Point],
    out: Path,
    fleet: Fleet,
    shard: Shard | None,
) -> int:
    (out / "scenario.yaml").write_text(resolved_yaml(scenario))
    errors: dict[str, str] = {}
    broken_off = False
    try:
        for point, outcome in _run(points, left, out, fleet):
            if outcome.error is not None:
                errors[point.directory] = outcome.error
                complain(f"{point.directory}: {outcome.error}")
            if outcome.status == BROKEN_OFF:
                broken_off = True
                break
    except KeyboardInterrupt:
        broken_off = True
    directory = out / POINTS
    if shard and not broken_off:
        there = [p for p in points if is_done(p.scenario, directory / p.directory)]
        if len(there) < len(points):
            part = f"part {shard.number} of {shard.parts}"
            print(f"{part}: {len(there)} of {len(points)} points are there; no report yet")
            return FAILED if errors else DONE
    summaries = {p.directory: s for p in points if (s := summary_of(directory / p.directory))}
    sweep = gather(scenario.name, scenario.description, points, summaries, errors)
    from scenarios.reports.sweep_report import write_sweep

    write_sweep(out, sweep, points)
    print(f"report: {out / 'sweep.html'}")
    if broken_off:
        return BROKEN_OFF
    if not sweep.complete:
        return FAILED
    verdicts = {s.verdict for point in sweep.points for s in point.systems.values()}
    return DOUBTED if "not believable" in verdicts else DONE


def prepare(out: Path, points: Sequence[Point], shard: Shard | None = None) -> list[Point]:
    """Make the sweep's directory, or take one up; returns the points that have yet to run, of a
    part of the sweep where there are several.

    What is left of such a point that was broken off is removed.

    Raises:
        ScenarioError: `out` holds another run, or a point whose scenario is not the same.
    """
    directory = open_points(out, "sweep")
    strangers = {found.name for found in directory.iterdir()} - {p.directory for p in points}
    if strangers:
        raise ScenarioError(
            "--out",
            str(out),
            "name a new directory",
            f"holds points that this sweep lacks ({', '.join(sorted(strangers))})",
        )
    for point in points:
        check_same(out, directory / point.directory, point.label, point.scenario)
    own = shard.of(points) if shard else points
    left = [p for p in own if not is_done(p.scenario, directory / p.directory)]
    for point in left:
        clear(directory / point.directory)
    return left


def _run(
    points: Sequence[Point], left: Sequence[Point], out: Path, fleet: Fleet
) -> Iterator[tuple[Point, Outcome]]:
    """Run points and say how each ended, as it does."""
    watch = _Watch(len(points), len(left))
    runs = [Run(point.scenario, out / POINTS / point.directory) for point in left]
    if not fleet.elsewhere and (fleet.places == 1 or len(left) <= 1):
        for point, run in zip(left, runs, strict=True):
            watch.say(point.label)
            yield point, attempt(run)
            watch.done += 1
        return
    watch.say(f"{fleet.places} at once")
    for place, outcome in side_runs(runs, fleet):
        watch.done += 1
        watch.say(f"{left[place].label} is done")
        yield left[place], outcome


class _Watch:
    """Which point of how many, and how long the others may take.

    Args:
        total: points of the sweep; left: those that have to run.
    """

    def __init__(self, total: int, left: int, now: Callable[[], float] = time.monotonic) -> None:
        self._total, self._left, self._now = total, left, now
        self._begun = now()
        self.done = 0

    def say(self, what: str) -> None:
        number = self._total - self._left + self.done
        print(f"[{number} of {self._total} points done{self._time_left()}] {what}", file=sys.stderr)

    def _time_left(self) -> str:
        if not self.done:
            return ""
        left_s = (self._now() - self._begun) / self.done * (self._left - self.done)
        minutes, seconds = divmod(round(left_s), 60)
        return f", about {minutes}:{seconds:02d} left"
