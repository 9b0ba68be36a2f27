"""What cannot be honoured is refused before anything is built, with key, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from plan.errors import ScenarioError
from scenarios.configuration.loading import load_scenario
from scenarios.planning.plan import make_plan

TINY = Path(__file__).parents[1] / "tiny.yaml"
SMALL_GPU = "gpu={name: small, flops: 4e14, hbm_bytes: 6.7e10, hbm_bytes_per_s: 3e12}"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["cluster.dram_buffer=1 GB"],
            r'cluster.dram_buffer: "1 GB" is too small; a prompt of \d+',
        ),
        (["model=ds-660b", "ep=false"], r"GB of weights per engine do not fit \d+"),
        (["scale.byte_scale=1e9"], "scale.byte_scale: 1000000000.0 "),
        (["workload.min_turns=5000"], "workload.min_turns: 5000 .*no trajectory is that long"),
        (["model=qwen-32b", "ep=false", SMALL_GPU], "tokens of context cannot be"),
    ],
)
def test_a_refusal_says_what_would_do(overrides: list[str], expected: str) -> None:
    with pytest.raises(ScenarioError, match=expected):
        make_plan(load_scenario(TINY, overrides))


def test_the_dram_buffer_that_the_refusal_names_is_enough() -> None:
    with pytest.raises(ScenarioError) as refused:
        make_plan(load_scenario(TINY, ["cluster.dram_buffer=1 GB"]))
    least = str(refused.value).partition(" needs ")[2].partition(" of a whole node")[0]
    make_plan(load_scenario(TINY, [f"cluster.dram_buffer={least}"]))


def test_a_scenarios_arbitration_is_the_plans() -> None:
    fair = ["lanes={vlarb_high: [[1, 1]], vlarb_low: [[0, 1], [2, 3], [3, 1]]}"]
    lanes = make_plan(load_scenario(TINY, fair)).plan.lanes
    collective, control, kv, spare = lanes.lanes
    assert kv.min_share == pytest.approx(3 * collective.min_share) != 0
    assert [lane.priority for lane in (collective, control, kv, spare)] == [1, 0, 1, 1]
