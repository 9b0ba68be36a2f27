"""Claims: what random faults must not break is looked at, and what fails is shrunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.agents.population import AgentPopulation
from nodes.engines.engine_node import EngineNode
from nodes.engines.prefill import PrefillEngine
from nodes.protocol.messages import Cancel, Message
from nodes.scheduling.failover import FailoverScheduler
from nodes.scheduling.ledger import Record
from nodes.worlds.virtual.breakable_network import BreakableNetwork, _Breakable
from plan.records import RequestRecord
from scenarios.configuration.faults import FaultChoice
from scenarios.configuration.loading import load_scenario, resolved_yaml
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import Duration, When
from scenarios.planning.plan import make_plan
from scenarios.running.chaos import Batch, Hunt, Trial, hunt, reproduced, shrunk
from tests.examples import tries

TINY = Path(__file__).parents[1] / "tiny.yaml"
SMALL = ["workload.agents=8", "engine=simulate", "cluster.prefill=2", "cluster.decode=2"]
SEEDS = tuple(range(1, 6))


def scenario(system: str, *more: str) -> Scenario:
    return load_scenario(TINY, [*SMALL, f"systems=[{system}]", *more])


def hunted(system: str, *more: str, seeds: Sequence[int] = SEEDS) -> list[Trial]:
    asked = scenario(system, *more)
    return hunt(Batch(asked, asked.compared[0], tuple(seeds)))


@pytest.mark.parametrize(
    ("system", "more"),
    [
        ("basic", []),
        ("layerwise", []),
        ("dram-pool", []),
        ("dualpath-rr", []),
        ("dualpath", []),
        ("oracle", []),
        ("dualpath", ["collectives=alltoall"]),
        ("dualpath", ["workload.arrival=2 /s", "run.end.agents=8"]),
        ("basic", ["cluster.prefill=1", "cluster.decode=1"]),
        ("dualpath", ["cluster.decode=4", "cluster.group_nodes.decode=2"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "offline",
)
def test_whatever_is_drawn_what_must_hold_does(system: str, more: list[str]) -> None:
    trials = hunted(system, *more)
    assert [(trial.seed, trial.problems) for trial in trials if trial.problems] == []
    assert sum(trial.faults for trial in trials) > 0


def test_the_same_seed_gives_the_same_digest() -> None:
    assert hunted("dualpath") == hunted("dualpath")


def test_shares_of_seeds_are_of_all_kinds() -> None:
    hunting = Hunt(asked := scenario("dualpath"), asked.compared[0])
    kinds = {choice.kind for seed in range(60) for choice in hunting.drawn(seed)}
    assert len(kinds) == 8


# --- what is broken on purpose is found


def keeps(change: Callable[..., object], kind: type, name: str) -> list[str]:
    """Problems that are found with one method of the nodes changed."""
    with patch.object(kind, name, change):
        trials = hunted("dualpath", "recovery.lease=2 s", seeds=range(1, 13))
    return [problem for trial in trials for problem in trial.problems]


def test_a_request_that_is_forgotten_is_found() -> None:
    again = FailoverScheduler._again

    def forgets(
        self: FailoverScheduler, record: Record, cause: str, *, finally_: bool = False
    ) -> None:
        if record.request.number % 5:
            again(self, record, cause, finally_=finally_)
        else:
            self._withdraw(record)

    assert any("livelock" in problem for problem in keeps(forgets, FailoverScheduler, "_again"))


def test_an_attempt_that_is_not_cancelled_is_found() -> None:
    handle = EngineNode.handle

    def deaf(self: EngineNode[PrefillEngine], message: Message) -> None:
        if not isinstance(message, Cancel):
            handle(self, message)

    assert any("is held of" in problem for problem in keeps(deaf, EngineNode, "handle"))


def test_a_turn_that_ends_twice_is_found() -> None:
    request_done = AgentPopulation._request_done

    def twice(self: AgentPopulation, record: RequestRecord) -> None:
        if record.request == 3:
            self._finished(record)
        request_done(self, record)

    found = keeps(twice, AgentPopulation, "_request_done")
    assert any("ended 2 times" in problem for problem in found)


def test_bytes_that_are_not_accounted_for_are_found() -> None:
    fail = BreakableNetwork._fail

    def forgets(self: BreakableNetwork, flow: _Breakable, *, stalled: bool) -> None:
        fail(self, flow, stalled=stalled)
        self._bytes[0] += 1e6

    assert any(
        "bytes, of which" in problem for problem in keeps(forgets, BreakableNetwork, "_fail")
    )


# --- shrinking


def choice(number: int) -> FaultChoice:
    return FaultChoice(at=When(f"{number} s"), kind="kill", target="pe0", back=Duration(1))


@given(st.integers(1, 20), st.sets(st.integers(0, 19), min_size=1, max_size=3))
@tries(50)
def test_shrinking_leaves_exactly_those_that_are_needed(total: int, needed: set[int]) -> None:
    needed = {number % total for number in needed}
    choices = [choice(number) for number in range(total)]
    wanted = [choices[number] for number in sorted(needed)]
    assert shrunk(choices, lambda some: all(one in some for one in wanted)) == wanted


def test_a_failing_trial_is_written_as_a_scenario_that_gives_its_faults(tmp_path: Path) -> None:
    asked = scenario("dualpath")
    trial = Trial(
        system="dualpath",
        seed=7,
        faults=9,
        requests=1,
        attempts=0,
        failed=0,
        digest="",
        problems=("it does not hold",),
        minimal=(choice(3),),
    )
    path = tmp_path / "found.yaml"
    path.write_text(resolved_yaml(reproduced(asked, asked.compared[0], trial)))
    again = load_scenario(path)
    assert again.name == "tiny-dualpath-7"
    [fault] = make_plan(again).plan.faults
    assert (fault.kind, fault.at_s, fault.for_s) == ("kill", 3.0, 1.0)
