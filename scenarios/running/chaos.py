"""Hunting for what faults bring to light: random faults by seed, and what always has to hold.

A trial serves a scenario by one system in virtual time while faults that its seed drew break
things, lets the nodes come to rest, and looks at what must hold whatever breaks. A trial that
fails is shrunk to the fewest faults with which it still does.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from nodes.virtual_run import VirtualRun, simulate
from plan.deployment import System
from plan.errors import first_cause, said
from plan.faults import AttemptRecord, Fault, FaultEvent, FaultKind, Recovery
from plan.model import Plan
from plan.records import RequestRecord
from scenarios.configuration.faults import FaultChoice, Kept, RandomFaults
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import Duration
from scenarios.planning.faults import draw, faults_of, recovery_of
from scenarios.planning.plan import make_plan

KINDS: dict[FaultKind, int] = {
    "down": 4,
    "slow": 2,
    "loss": 1,
    "kill": 4,
    "pause": 2,
    "power_off": 2,
    "corrupt": 1,
    "disk_full": 1,
}
LENGTHS_S = (0.2, 1.0, 4.0, 10.0)
"""Of a seed's faults, in the mean: shorter than a lease, as long, and longer."""
AT_ONCE = (1, 2, 3)
PER_RUN = (2.0, 5.0, 12.0)
"""Faults that a seed draws, in the mean."""
REST_S = 30.0
GRACE = 2.0
GRACE_S = 60.0
"""After the last fault is over, or the time of a run without any if that is later, all requests
end within so many times the latter and so many seconds."""
SENT_BYTES = 64.0
"""By so much may two sums of many amounts of bytes differ."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one seed.

    Attributes:
        faults: that were drawn; attempts: that came to nothing; failed: requests that did.
        digest: of all that it told; problems: what did not hold, a clause each.
        minimal: the fewest faults with which it fails.
    """

    system: str
    seed: int
    faults: int
    requests: int
    attempts: int
    failed: int
    digest: str
    problems: tuple[str, ...] = ()
    minimal: tuple[FaultChoice, ...] = ()


class Batch(msgspec.Struct, frozen=True):
    """Some seeds for one system."""

    scenario: Scenario
    system: System
    seeds: tuple[int, ...]


@dataclass
class Told:
    """Everything that a run told."""

    records: list[RequestRecord]
    events: list[FaultEvent]
    attempts: list[AttemptRecord]

    def hear(self, one: FaultEvent | AttemptRecord) -> None:
        if isinstance(one, FaultEvent):
            self.events.append(one)
        else:
            self.attempts.append(one)

    def digest(self) -> str:
        return sha256(msgspec.json.encode([self.records, self.events, self.attempts])).hexdigest()


class Hunt:
    """Trials of one scenario by one system; what they have in common is made once.

    Raises:
        ScenarioError: the scenario cannot be honoured.
    """

    def __init__(self, scenario: Scenario, system: System) -> None:
        self.scenario = msgspec.structs.replace(scenario, faults=(), random_faults=None)
        self.system = system
        self._plan = make_plan(self.scenario).plan
        self._recovery = recovery_of(scenario.recovery)
        self._whole_s = self._without_faults()

    def drawn(self, seed: int) -> list[FaultChoice]:
        """The faults of a seed."""
        return draw(random_faults(seed, self._whole_s), self._plan.fabric)

    def try_seed(self, seed: int) -> Trial:
        """One trial; a failing one is shrunk."""
        choices = self.drawn(seed)
        told, problems = self.serve(choices)
        minimal: tuple[FaultChoice, ...] = ()
        if problems:
            minimal = tuple(shrunk(choices, lambda some: bool(self.serve(some)[1])))
        return Trial(
            system=self.system.name,
            seed=seed,
            faults=len(choices),
            requests=len(told.records),
            attempts=len(told.attempts),
            failed=sum(record.error is not None for record in told.records),
            digest=told.digest(),
            problems=tuple(problems),
            minimal=minimal,
        )

    def serve(self, choices: Sequence[FaultChoice]) -> tuple[Told, list[str]]:
        """Serve with these faults; what was told, and what did not hold."""
        listed = msgspec.structs.replace(self.scenario, faults=tuple(choices), engine="simulate")
        faults = faults_of(listed, self._plan.fabric, endless=self._plan.endless)
        plan = msgspec.structs.replace(self._plan, faults=faults, recovery=self._recovery)
        told = Told([], [], [])
        try:
            run = simulate(
                plan, self.system, 1.0, told.records.append, _ignore, told.hear, rest_s=REST_S
            )
        except Exception as error:
            return told, [said(first_cause(error))]
        return told, problems_of(plan, self._recovery, run, told, self._whole_s)

    def _without_faults(self) -> float:
        records: list[RequestRecord] = []
        simulate(self._plan, self.system, 1e9, records.append, _ignore)
        return max((record.done_s or 0.0 for record in records), default=0.0)


def hunt(batch: Batch) -> list[Trial]:
    """All trials of a batch, in order."""
    hunting = Hunt(batch.scenario, batch.system)
    return [hunting.try_seed(seed) for seed in batch.seeds]


def random_faults(seed: int, whole_s: float) -> RandomFaults:
    """What a seed draws faults from, over the time of a run without any."""
    rng = random.Random(seed)
    return RandomFaults(
        seed=seed,
        mean_every=Duration(max(whole_s, 1.0) / rng.choice(PER_RUN)),
        until=Duration(max(whole_s, 1.0)),
        kinds=KINDS,
        lasting=Duration(rng.choice(LENGTHS_S)),
        at_once=rng.choice(AT_ONCE),
        keep=Kept(prefill=rng.randint(0, 1), decode=rng.randint(0, 1), storage=0, scheduler=0),
    )


def problems_of(
    plan: Plan, recovery: Recovery, run: VirtualRun, told: Told, whole_s: float
) -> list[str]:
    """What does not hold of a run, a clause each."""
    return [
        *_ended_once(plan, told.records),
        *_attempts(recovery, told),
        *_left(run),
        *_late(plan.faults, told, whole_s),
    ]


def _ended_once(plan: Plan, records: Sequence[RequestRecord]) -> Iterator[str]:
    counts = Counter((record.agent, record.turn) for record in records)
    for (agent, turn), count in counts.items():
        if count > 1:
            yield f"turn {turn} of agent {agent} ended {count} times"
    for record in records:
        if record.done_s is None and record.error is None and plan.end is None:
            yield f"request {record.request} neither is done nor has failed"
    if plan.arrivals is None:
        for agent, trajectory in enumerate(plan.trajectories):
            for turn in range(len(trajectory.turns)):
                if (agent, turn) not in counts:
                    yield f"turn {turn} of agent {agent} was lost"


def _attempts(recovery: Recovery, told: Told) -> Iterator[str]:
    for attempt in told.attempts:
        if attempt.number > recovery.attempts:
            yield f"request {attempt.request} had attempt {attempt.number}"
        if not attempt.cause:
            yield f"attempt {attempt.number} at request {attempt.request} failed without a cause"
    if told.attempts and not any(event.what == "injected" for event in told.events):
        yield "attempts failed although nothing was broken"


def _left(run: VirtualRun) -> Iterator[str]:
    for stats in run.stats:
        if stats.blocks_corrupt:
            yield f"{stats.blocks_corrupt} bad Layer Blocks came to where {stats.node} uses them"
    assert run.aftermath is not None
    for what, amount in run.aftermath.held.items():
        yield f"{amount:g} is held of {what}"
    for nic, (counted, sent) in run.aftermath.sent_bytes.items():
        if abs(counted - sent) > SENT_BYTES + 1e-9 * counted:
            yield f"{nic} sent {counted:.0f} bytes, of which {sent:.0f} arrived or were given up"


def _late(faults: Sequence[Fault], told: Told, whole_s: float) -> Iterator[str]:
    healed = [event.t_s for event in told.events if event.what in ("healed", "injected")]
    due_s = max([whole_s, *healed]) + GRACE * whole_s + GRACE_S
    for record in told.records:
        if record.done_s is not None and record.done_s > due_s and faults:
            yield f"request {record.request} was done at {record.done_s:.1f} s, due {due_s:.1f} s"


def shrunk(
    choices: Sequence[FaultChoice], fails: Callable[[Sequence[FaultChoice]], bool]
) -> list[FaultChoice]:
    """The fewest faults that still fail, as far as leaving some out shows: halves first, then
    ever smaller parts, each alone at last."""
    left = list(choices)
    size = len(left) // 2
    while size:
        start = 0
        while start < len(left):
            without = left[:start] + left[start + size :]
            if without and fails(without):
                left = without
            else:
                start += size
        size //= 2
    return left


def reproduced(scenario: Scenario, system: System, trial: Trial) -> Scenario:
    """A scenario of the fewest faults with which a trial fails."""
    what = f"{system.name}, seed {trial.seed}: {trial.problems[0]}"
    name = f"{scenario.name[:40]}-{system.name}-{trial.seed}"
    return msgspec.structs.replace(
        scenario,
        name=name,
        description=what[:200],
        engine="simulate",
        systems=(system,),
        faults=trial.minimal,
        random_faults=None,
        sweep=None,
    )


def _ignore(_: object) -> None:
    """Counters are not looked at."""
