"""Both engines are held to the same figures, and the validation scenarios are what they say."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest

from nodes.timing.compute import prefill_layer_s
from plan.model import Plan
from plan.records import CounterSample
from scenarios import validate
from scenarios.analysis.agreement import Validation
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.configuration.systems import SYSTEMS
from scenarios.planning.plan import make_plan
from scenarios.results.metrics import summarise
from scenarios.results.result import SystemResult
from scenarios.results.summary import Summary
from scenarios.running.execution import run_scenario
from scenarios.running.outcome import DONE, DOUBTED, WRONG, Outcome
from tests.scenarios.simulated import served

pytestmark = pytest.mark.slow

ALL = sorted((library.LIBRARY / "validation").glob("*.yaml"))
ONLINE = [path for path in ALL if "online" in path.stem]
SCENARIOS = [path for path in ALL if path not in ONLINE]
BUSY = 0.85
HIGH_LANE = 0.1


def with_basic(summary: Summary, **changes: object) -> Summary:
    basic = msgspec.structs.replace(summary.systems["basic"], **changes)
    return msgspec.structs.replace(summary, systems={**summary.systems, "basic": basic})


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(
        "cluster: {slice: 1/8}\n"
        "workload: {source: {generator: 32K}, agents: 4, turns: {count: 2}, min_turns: 2}\n"
        "systems: [basic]\n"
    )
    return path


@pytest.mark.parametrize(
    ("slower", "verdict", "status"),
    [
        (1.0, "believable", DONE),
        (1.2, "believable", validate.MISSED),
        (1.2, "not believable", DOUBTED),
    ],
)
def test_the_exit_status_says_whether_the_marks_hold(
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slower: float,
    verdict: str,
    status: int,
) -> None:
    """The "emulated" run is a simulated one here, slowed down by hand."""

    def run(scenario: Scenario, out: Path) -> Outcome:
        plan = make_plan(scenario).plan
        summary = summarise(plan, [simulated(plan, "basic")])
        latencies.append(plan.message_s)
        if scenario.engine == "simulate":
            return Outcome(DONE, summary)
        basic = summary.systems["basic"]
        assert basic.jct_s is not None
        judged = msgspec.structs.replace(basic.fidelity, verdict=verdict)
        return Outcome(DONE, with_basic(summary, jct_s=slower * basic.jct_s, fidelity=judged))

    latencies: list[float] = []
    monkeypatch.setattr(validate, "enter_sandbox", lambda: None)
    monkeypatch.setattr(validate, "run_scenario", run)
    out = tmp_path / "out"
    assert validate.main([str(small), "--out", str(out), "--repeats", "2", "--jobs", "1"]) == status
    assert latencies == pytest.approx([50e-6, 50e-6, 75e-6])
    (written,) = json.loads((out / "validation.json").read_bytes())
    assert written["holds"] == (slower == 1.0)
    assert written["systems"]["basic"][0]["error"] == pytest.approx(1 / slower - 1, abs=1e-3)
    page = (out / "validation.html").read_text()
    assert "data:image/png;base64," in page
    assert "small" in page


def test_simulated_runs_side_by_side_are_those_of_one_after_the_other(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = load_scenario(small)
    monkeypatch.setattr(
        validate,
        "run_scenario",
        lambda scenario, out: run_scenario(validate._by(scenario, "simulate"), out),
    )
    found = [validate.validate(scenario, tmp_path / str(jobs), 3, jobs) for jobs in (1, 2)]
    assert found[0].error is None
    assert found[0].systems["basic"]
    assert found[0] == found[1]


def test_a_scenario_given_twice_is_refused(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate.main([str(small), str(small)]) == WRONG
    assert 'name: "small"' in capsys.readouterr().err


def test_all_scenarios_that_a_pattern_fits_are_validated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated = []

    def note(scenario: Scenario, *_: object) -> Validation:
        validated.append(scenario.name)
        return Validation(scenario=scenario.name, description="", error="not run here")

    monkeypatch.setattr(validate, "enter_sandbox", lambda: None)
    monkeypatch.setattr(validate, "validate", note)
    validate.main(["validation/*", "--out", str(tmp_path / "out")])
    assert validated == [path.stem for path in ALL]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_validation_scenario_is_bound_by_what_its_name_says(path: Path) -> None:
    plan = make_plan(load_scenario(path)).plan
    result = simulated(plan, "dualpath")
    shape, _, bound = path.stem.partition("-")
    nodes = {kind: len(plan.fabric.nodes_of(kind)) for kind in ("prefill", "decode")}
    assert shape == f"{nodes['prefill']}p{nodes['decode']}d"
    first, last = middle(result)
    if bound == "collectives":
        assert high_lane_share(first, last) > HIGH_LANE
        return
    busy = snic_use(plan, first, last) if bound == "storage" else [compute_use(plan, result)]
    assert min(busy) > BUSY


def test_validation_covers_both_bounds_of_every_shape() -> None:
    assert {path.stem for path in SCENARIOS} == {
        "2p2d-collectives",
        *(
            f"{shape}-{bound}"
            for shape in ("1p1d", "1p2d", "2p1d", "2p4d")
            for bound in ("compute", "storage")
        ),
    }


@pytest.mark.parametrize(("name", "least", "most"), [("below", 0.4, 0.65), ("near", 0.75, 0.95)])
def test_agents_arrive_below_and_near_what_basic_can_serve(
    name: str, least: float, most: float
) -> None:
    [path] = [path for path in ONLINE if path.stem == f"1p1d-online-{name}"]
    plan = make_plan(load_scenario(path)).plan
    result = simulated(plan, "basic")
    assert result.ending.ended_by == "after"
    cut = [sample for sample in result.samples if sample.t_s >= result.ending.from_s]
    assert least < max(snic_use(plan, cut[0], cut[-1])) < most
    served = [record for record in result.records if record.done_s is not None]
    assert len(served) > 10 * result.ending.under_way


def simulated(plan: Plan, system: str) -> SystemResult:
    return served(plan, SYSTEMS[system], 0.5)


def middle(result: SystemResult) -> tuple[CounterSample, CounterSample]:
    """From a fifth to three fifths of the run: before agents run out of turns."""
    samples = result.samples
    return samples[len(samples) // 5], samples[3 * len(samples) // 5]


def snic_use(plan: Plan, first: CounterSample, last: CounterSample) -> list[float]:
    """Read use of every prefill and decode SNIC between two samples."""
    nodes = {node.name for node in plan.fabric.nodes if node.gpus}
    return [
        (last.nics[nic.name][1] - first.nics[nic.name][1])
        * 8
        / (nic.rate_bps * (last.t_s - first.t_s))
        for nic in plan.fabric.nics
        if nic.kind == "snic" and nic.node in nodes
    ]


def high_lane_share(first: CounterSample, last: CounterSample) -> float:
    """Collectives' share of all bytes that the fabric carried between two samples."""
    carried = {name: last.lanes[name][0] - first.lanes[name][0] for name in last.lanes}
    return carried["collective"] / sum(carried.values())


def compute_use(plan: Plan, result: SystemResult) -> float:
    """Share of its time that a prefill engine computed for requests in the middle of the run; of
    those that were cut, their last batch alone."""
    first, last = middle(result)
    engines = sum(node.gpus for node in plan.fabric.nodes_of("prefill"))
    batches: dict[tuple[str | None, float], list[tuple[int, int]]] = defaultdict(list)
    for r in result.records:
        if r.first_s is not None and first.t_s <= r.first_s < last.t_s:
            batches[r.pe, r.first_s].append((r.hit_tokens, r.prompt_tokens - r.hit_tokens))
    ep = plan.ep_group["prefill"]
    layer_s = sum(prefill_layer_s(plan.model, plan.gpu, ep, batch) for batch in batches.values())
    return plan.model.layers * layer_s / (engines * (last.t_s - first.t_s))
