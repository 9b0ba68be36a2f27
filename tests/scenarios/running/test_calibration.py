"""Claims about `dilation: auto`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from plan.errors import RunError, ScenarioError
from plan.records import NodeStats
from plan.workload import Trajectory, Turn
from scenarios.configuration.loading import load_scenario, resolved_yaml, with_dilation
from scenarios.configuration.systems import SYSTEMS
from scenarios.planning.plan import make_plan
from scenarios.planning.points import load_points
from scenarios.results.result import CpuShares
from scenarios.running import calibration
from scenarios.running.calibration import Pilot, at_dilation, choose, round_up
from scenarios.running.sweep import prepare
from tests.scenarios import synthetic
from tests.scenarios.commands import TINY
from tests.scenarios.simulated import served

PEAK = 1e11
"""Model bytes/s."""


def pilot(
    switch: float = 0.0,
    nodes: float = 0.0,
    others: float = 0.0,
    lateness_s: float = 0.0,
    *,
    real_time: bool = False,
    dilation: float = 0.5,
    shortfall: float = 0.0,
) -> Pilot:
    """A pilot that says how many cores PEAK would take."""
    return Pilot(
        switch_s=switch / PEAK,
        nodes_s=nodes / PEAK,
        others_cores=others,
        real_time=real_time,
        lateness_s=lateness_s,
        dilation=dilation,
        shortfall=shortfall,
    )


@pytest.mark.parametrize(
    ("measured", "dilation"),
    [
        (pilot(switch=0.5), 1.0),  # the switch's one core, half of it
        (pilot(switch=1.0), 2.0),
        (pilot(nodes=2.4), 2.0),  # 60 % of two cores
        (pilot(switch=0.4, nodes=2.0), 2.0),
        (pilot(nodes=2.4, others=1.0), 4.0),  # of the one that is left
        (pilot(nodes=2.4, others=2.0), 8.0),  # others never leave less than a quarter
        (pilot(lateness_s=0.006), 2.0),  # 3 ms of model time
        (pilot(switch=0.3), 0.64),
        (pilot(), 0.5),
        (pilot(switch=1e6), 100.0),
        (pilot(switch=1.8, real_time=True), 2.0),  # nine tenths of the switch's one core
        (pilot(nodes=3.2, real_time=True), 2.0),  # 80 % of two cores
        (pilot(nodes=3.2, others=2.0, real_time=True), 2.0),  # which others wait for
        (pilot(lateness_s=0.006, real_time=True), 2.0),
        (pilot(dilation=2.0), 2.0),  # faster was not tried
        (pilot(shortfall=0.005), 0.5),
        (pilot(shortfall=0.3), 1.25),  # at 1.02 it is 70 % of the rate that was reached
        (pilot(shortfall=1.0), 100.0),
    ],
)
def test_the_scarcest_of_switch_cores_timers_and_rates_decides(
    measured: Pilot, dilation: float
) -> None:
    assert choose(PEAK, measured, cores=2).dilation == pytest.approx(dilation)


def test_twice_the_traffic_takes_twice_the_time() -> None:
    one, two = (choose(n * PEAK, pilot(switch=1.0), cores=2).dilation for n in (1, 2))
    assert two == 2 * one


def test_the_reason_names_what_was_measured() -> None:
    said = choose(PEAK, pilot(0.7, 0.4, 0.3, 0.0012, shortfall=0.021), cores=4).reason
    for part in (
        *("auto: 1.6", "0.70 cores for the switch", "0.40 for nodes", "1.2 ms"),
        *("what others leave of 4 cores", "Full at 0.5, a NIC was 2.1% short"),
    ):
        assert part in said


@pytest.mark.parametrize(
    ("wanted", "rounded"),
    [(1.0, 1.0), (1.01, 1.25), (0.51, 0.64), (0.86, 1.0), (8.1, 10.0), (23, 25), (100, 100)],
)
def test_dilations_are_rounded_up_to_few_values(wanted: float, rounded: float) -> None:
    assert round_up(wanted) == pytest.approx(rounded)


def test_a_pilot_is_the_last_turn_of_some_agents() -> None:
    turns = (Turn(100, 50), Turn(70, 5), Turn(30, 400))
    plan = msgspec.structs.replace(
        synthetic.make_plan(), trajectories=(Trajectory(name="a", turns=turns),) * 100
    )
    short = calibration.pilot_plan(plan)
    assert len(short.trajectories) == 2 * calibration.PILOT_AGENTS
    [turn] = short.trajectories[0].turns
    assert (turn.append, turn.gen) == (30, calibration.PILOT_GEN)
    assert short.trajectories[0].preloaded == 100 + 50 + 70 + 5


@pytest.mark.parametrize(
    ("names", "heaviest"),
    [
        (("basic", "dualpath", "oracle"), "dualpath"),
        (("oracle", "basic"), "basic"),
        (("oracle",), "oracle"),
    ],
)
def test_the_pilot_is_served_by_the_system_that_moves_most(
    names: tuple[str, ...], heaviest: str
) -> None:
    assert calibration.heaviest([SYSTEMS[name] for name in names]).name == heaviest


def test_the_pilots_busiest_moment_is_about_that_of_the_whole_run() -> None:
    plan = make_plan(load_scenario(TINY)).plan
    rates = [
        calibration.peak(served(p, SYSTEMS["dualpath"], 0.25).samples)
        for p in (plan, calibration.pilot_plan(plan))
    ]
    assert rates[1] == pytest.approx(rates[0], rel=0.25)


def test_cost_is_cpu_time_over_bytes_and_lateness_is_by_the_wall() -> None:
    plan = at_dilation(synthetic.make_plan(), 4.0)
    late = NodeStats(node="pe0", lateness_s=(0.0, 0.002, 1.0))
    result = replace(
        synthetic.make_result(plan, "basic", 10.0, {"pe0": 1.0, "de0": 0.0}, stats=late),
        cpu=CpuShares(
            wall_s=40, switch=0.5, controller=0.1, nodes=0.9, others=0.3, busiest_switch=0.5
        ),
    )
    moved = calibration.port_bytes(result.samples[-1])
    found = calibration.measured(plan, result, 0.02, real_time=True)
    assert (found.dilation, found.shortfall, found.real_time) == (4.0, 0.02, True)
    assert found.switch_s == pytest.approx(20 / moved)
    assert found.nodes_s == pytest.approx(40 / moved)
    assert found.others_cores == 0.3
    assert found.lateness_s == pytest.approx(0.008)


def test_a_pilot_that_moves_nothing_can_not_calibrate() -> None:
    plan = synthetic.make_plan()
    result = synthetic.make_result(plan, "basic", 10.0, {"pe0": 1.0, "de0": 0.0})
    with pytest.raises(RunError, match=r"write a number for scale\.dilation"):
        calibration.measured(plan, replace(result, samples=result.samples[:1]), 0.0, real_time=True)


def test_a_resolved_scenario_holds_the_dilation_that_was_found(tmp_path: Path) -> None:
    scenario = load_scenario(TINY, ["scale.dilation=auto"])
    (tmp_path / "tiny.yaml").write_text(resolved_yaml(with_dilation(scenario, 2.5)))
    assert load_scenario(tmp_path / "tiny.yaml").scale.dilation == 2.5


@pytest.mark.parametrize(("agents", "taken_up"), [(32, True), (31, False)])
def test_a_sweep_is_taken_up_at_whatever_dilation_was_found(
    tmp_path: Path, agents: int, taken_up: bool
) -> None:
    points = load_points(TINY, ["scale.dilation=auto", "sweep={pd: [1:1]}"])
    [point] = points
    ran = load_scenario(TINY, [f"workload.agents={agents}"])
    ran = msgspec.structs.replace(with_dilation(ran, 2.5), name=point.scenario.name)
    directory = tmp_path / "points" / point.directory
    directory.mkdir(parents=True)
    (directory / "scenario.yaml").write_text(resolved_yaml(ran))
    if taken_up:
        assert prepare(tmp_path, points) == points
    else:
        with pytest.raises(ScenarioError, match="with another scenario"):
            prepare(tmp_path, points)


def test_virtual_time_has_no_dilation() -> None:
    assert make_plan(load_scenario(TINY, ["scale.dilation=auto"])).plan.scale.dilation == 1.0
