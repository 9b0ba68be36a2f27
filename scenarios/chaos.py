"""Hunt for faults that are not survived: `dualpath chaos SCENARIO --seeds 1000`.

Every seed draws faults, which break things while the scenario is served in virtual time by each
of its systems; then it is looked at what must hold whatever breaks: every request ends once, in
time, no bad block is used, nothing is kept that was taken, all bytes sent are accounted for. A
seed for which something does not hold is shrunk to the fewest faults that show it, and written as
a scenario that `dualpath run` takes. The same seed gives the same digest.

Exit status: 0 all holds; 1 something does not; 2 the scenario or the command line is wrong; 130
broken off.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from plan.errors import RunError
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario, resolved_yaml
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import count
from scenarios.overrides import add_overrides, overrides
from scenarios.planning.memory import check_jobs
from scenarios.planning.plan import make_plan
from scenarios.results.readable_json import write_json
from scenarios.running.chaos import Batch, Trial, hunt, reproduced
from scenarios.running.fleet import Fleet, add_cluster, fleet
from scenarios.running.outcome import BROKEN_OFF, DONE, FAILED, complain, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import claim

TOGETHER = 10
"""Seeds of a batch: its plan is made once."""


class Hunted(msgspec.Struct, kw_only=True):
    """`chaos.json`: all trials, and how many of what there were.

    Attributes:
        digest: of all trials' digests in the order of systems and seeds.
    """

    scenario: str
    trials: int = 0
    faults: int = 0
    requests: int = 0
    attempts: int = 0
    failed: int = 0
    digest: str = ""
    failing: list[Trial] = []
    digests: dict[str, dict[int, str]] = {}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _run(arguments))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", type=Path, help="YAML file, or a name of the library")
    parser.add_argument("--seeds", type=count, default=100, help="for each system (default: 100)")
    parser.add_argument("--first", type=count, default=1, help="the first of them (default: 1)")
    parser.add_argument("--jobs", type=count, help="trials at once (default: all cores)")
    add_cluster(parser)
    parser.add_argument("--minutes", type=float, help="begin no more trials after so long")
    parser.add_argument("--out", type=Path, help="directory (default: runs/chaos-NAME-TIME)")
    add_overrides(parser)
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> int:
    given = [*overrides(arguments), "engine=simulate"]
    scenario = load_scenario(library.find(arguments.scenario), given)
    make_plan(scenario)
    jobs = arguments.jobs or len(os.sched_getaffinity(0))
    if arguments.jobs:
        check_jobs(arguments.jobs)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    out = arguments.out or Path("runs") / f"chaos-{scenario.name}-{stamp}"
    claim(out)
    with handed_over(out), fleet(arguments.cluster, jobs) as hunters:
        (out / "scenario.yaml").write_text(resolved_yaml(scenario))
        return _hunt(scenario, arguments, hunters, out)


def _hunt(scenario: Scenario, arguments: argparse.Namespace, hunters: Fleet, out: Path) -> int:
    found = Hunted(scenario=scenario.name)
    status = DONE
    try:
        for trial in _trials(scenario, arguments, hunters):
            _count(found, trial)
            if trial.problems:
                found.failing.append(trial)
                path = _write(scenario, trial, out)
                complain(f"{trial.system}, seed {trial.seed}: {trial.problems[0]}; see {path}")
    except KeyboardInterrupt:
        status = BROKEN_OFF
    found.digest = _together(found)
    write_json(out / "chaos.json", msgspec.to_builtins(found, enc_hook=str))
    print(
        f"{found.trials} trials, {found.faults} faults, {found.requests} requests,"
        f" {found.attempts} attempts that came to nothing, {found.failed} requests failed;"
        f" {len(found.failing)} trials in which something does not hold; digest"
        f" {found.digest[:16]}"
    )
    print(f"trials: {out / 'chaos.json'}")
    return status or (FAILED if found.failing else DONE)


def _trials(scenario: Scenario, arguments: argparse.Namespace, hunters: Fleet) -> Iterator[Trial]:
    """All trials as they end, batch by batch.

    Raises:
        RunError: a process died over one.
    """
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    batches = [
        Batch(scenario, system, tuple(seeds[start : start + TOGETHER]))
        for start in range(0, len(seeds), TOGETHER)
        for system in scenario.compared
    ]
    begun, done = time.monotonic(), 0
    alone = hunters.places == 1 and not hunters.elsewhere
    here = ((batch, hunt(batch)) for batch in batches)
    for batch, trials in here if alone else hunters.do(hunt, batches):
        if isinstance(trials, RunError):
            where = f"{batch.system.name}, seeds {batch.seeds[0]} to {batch.seeds[-1]}"
            raise RunError(f"{where}: {trials}")
        yield from trials
        done += len(trials)
        passed_s = time.monotonic() - begun
        _say(f"{done} of {len(seeds) * len(scenario.compared)} trials, {done / passed_s:.1f} /s")
        if arguments.minutes is not None and passed_s > 60 * arguments.minutes:
            return


def _count(found: Hunted, trial: Trial) -> None:
    found.trials += 1
    found.faults += trial.faults
    found.requests += trial.requests
    found.attempts += trial.attempts
    found.failed += trial.failed
    found.digests.setdefault(trial.system, {})[trial.seed] = trial.digest


def _together(found: Hunted) -> str:
    told = [(system, sorted(seeds.items())) for system, seeds in sorted(found.digests.items())]
    return sha256(msgspec.json.encode(told)).hexdigest()


def _write(scenario: Scenario, trial: Trial, out: Path) -> Path:
    """The scenario of a failing trial's fewest faults."""
    system = next(one for one in scenario.compared if one.name == trial.system)
    path = out / f"{trial.system}-{trial.seed}.yaml"
    path.write_text(resolved_yaml(reproduced(scenario, system, trial)))
    return path


def _say(line: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(line, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
