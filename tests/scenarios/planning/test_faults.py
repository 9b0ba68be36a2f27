"""Claims: a scenario's faults are a plan's, one by one, or are refused by their place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.errors import ScenarioError
from plan.fabric import Fabric
from scenarios.configuration.faults import FaultChoice, Kept, RandomFaults
from scenarios.configuration.loading import load_scenario, resolved_yaml
from scenarios.configuration.units import Duration
from scenarios.planning.faults import OF_NODES, draw, targets
from scenarios.planning.plan import Planned, make_plan
from tests.examples import tries
from tests.nodes.plans import make_plan as make_small_plan

TINY = Path(__file__).parents[1] / "tiny.yaml"
ONE = "faults=[{at: 20 s, for: 5 s, kind: down, target: pe0.snic}]"


def planned(*overrides: str, engine: str = "simulate") -> Planned:
    return make_plan(load_scenario(TINY, [f"engine={engine}", *overrides]))


def test_without_faults_there_is_no_recovery_either() -> None:
    plan = planned().plan
    assert plan.faults == ()
    assert plan.recovery is None


def test_a_fault_comes_into_the_plan_with_its_times_and_recovery_with_it() -> None:
    plan = planned(ONE, "recovery.lease=4 s").plan
    [fault] = plan.faults
    assert (fault.kind, fault.target, fault.at_s, fault.for_s) == ("down", "pe0.snic", 20.0, 5.0)
    assert plan.recovery is not None
    assert plan.recovery.lease_s == 4.0


def test_a_share_of_requests_is_a_moment_and_repetitions_follow_it() -> None:
    text = "{at: 25 %, back: 1 s, kind: kill, target: de0, every: 10 s, times: 3}"
    faults = planned(f"faults=[{text}]").plan.faults
    assert [(fault.at_share, fault.at_s) for fault in faults] == [(0.25, 0), (0.25, 10), (0.25, 20)]


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ("{at: 20, kind: down, target: pe0.snic}", r"faults\[0\].at: 20 has no unit; write a time"),
        ("{at: 120 %, kind: down, target: st0}", r"faults\[0\].at: .120 %. is more than all"),
        ("{at: 1 s, kind: melt, target: st0}", r"faults\[0\].kind: .melt. is not .*one of"),
        ("{at: 1 s, kind: down, target: pe9.snic}", r"target: .pe9.snic. is nothing that down"),
        ("{at: 1 s, kind: kill, target: agents}", r"target: .agents. is nothing that kill can"),
        ("{at: 1 s, kind: corrupt, target: pe0, blocks: 1 %}", r"is nothing that corrupt can"),
        ("{at: 1 s, kind: slow, target: pe0.snic}", r"faults\[0\].to: is missing; write e.g."),
        ("{at: 1 s, kind: loss, target: pe0.snic, share: 100 %}", r"share: .100 %. cannot be"),
        ("{at: 1 s, kind: down, target: pe0.snic, back: 1 s}", r"back: .1 s. .*leave it out of d"),
        ("{at: 1 s, kind: kill, target: pe0, way: out}", r"way: .out. .*only links and NICs"),
        ("{at: 1 s, kind: kill, target: de0, every: 2 s}", r"faults\[0\].times: is missing"),
        (
            "{at: 1 s, kind: kill, target: de0, back: 3 s, every: 2 s, times: 2}",
            r"faults\[0\].every: .2 s. .*over before it comes again",
        ),
        ("{at: 1 s, kind: kill, target: de0}", r"faults: .de0. leaves no decode node to serve"),
        ("{at: 1 s, kind: kill, target: sched}", r"faults: .sched. leaves no scheduler to serve"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_a_remedy(faults: str, expected: str) -> None:
    with pytest.raises(ScenarioError, match=expected):
        planned(f"faults=[{faults}]")


def test_a_share_of_requests_without_end_is_none() -> None:
    with pytest.raises(ScenarioError, match=r"faults\[0\].at: .25 %. .*agents come without end"):
        planned("workload.arrival=1 /s", ONE.replace("20 s", "25 %"))


def test_a_lease_that_ends_between_two_signs_of_life_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"recovery.lease: .1 s. is too short; write at least"):
        planned(ONE, "recovery={heartbeat: 1 s, lease: 1 s}")


ONE_WAY = "faults=[{at: 1 s, kind: down, target: pe0.snic, way: in}]"
CONTROLLER = "faults=[{at: 1 s, back: 1 s, kind: kill, target: controller}]"


@pytest.mark.parametrize("faults", [ONE, ONE_WAY, CONTROLLER])
def test_faults_are_a_plan_of_either_engine(faults: str) -> None:
    assert planned(faults, engine="emulate").plan.faults == planned(faults).plan.faults


def test_drawn_faults_are_written_out_and_give_the_same_plan_again(tmp_path: Path) -> None:
    drawn = planned("random_faults={seed: 7, mean_every: 5 s, until: 100 s, at_once: 2}")
    assert drawn.plan.faults
    assert drawn.scenario.random_faults is None
    path = tmp_path / "again.yaml"
    path.write_text(resolved_yaml(drawn.scenario))
    assert make_plan(load_scenario(path)).plan.faults == drawn.plan.faults


FABRIC: Fabric = make_small_plan([], prefill=2, decode=2).fabric


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(0, 2))
@tries(100)
def test_drawn_faults_leave_as_many_nodes_as_asked_and_never_more_last_at_once(
    seed: int, at_once: int, kept: int
) -> None:
    chosen = RandomFaults(
        seed=seed,
        mean_every=Duration(1),
        until=Duration(60),
        kinds={"kill": 3, "pause": 1, "down": 1},
        at_once=at_once,
        keep=Kept(prefill=kept, decode=kept, storage=kept),
    )
    found = draw(chosen, FABRIC)
    assert found == draw(chosen, FABRIC)
    nodes = {node.name: node.kind for node in FABRIC.nodes}
    for one in found:
        assert one.target in targets(FABRIC, one.kind)
        now_s = one.at.time_s
        lasting = [f for f in found if f.at.time_s <= now_s < f.at.time_s + _length_s(f)]
        assert len(lasting) <= at_once
        if one.kind in OF_NODES and one.target in nodes:
            kind = nodes[one.target]
            gone = {f.target for f in lasting if f.kind in OF_NODES and nodes.get(f.target) == kind}
            assert len(FABRIC.nodes_of(kind)) - len(gone) >= kept


def _length_s(fault: FaultChoice) -> float:
    return float(fault.lasting or fault.back or 0.0)
