"""The command `python -m scenarios.plan`."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from scenarios.analysis.planner import choose, demand_of
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.units import Ratio
from scenarios.plan import main, sliced
from scenarios.running.outcome import DONE, WRONG
from scenarios.workload.generator import generate


@pytest.mark.slow
def test_a_plan_says_what_to_build_and_draws_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["online-27b", "--gpus", "24", "--systems", "basic,dualpath", "--out", str(out)]
    assert main(arguments) == DONE
    said = capsys.readouterr().out
    assert "agents/s, bound by" in said
    told = json.loads((out / "plan.json").read_text())
    assert (told["nodes"], told["gpus"]) == (3, 24)
    assert len(told["choices"]) == 4
    assert told["choices"][0]["capacity_aps"] == max(c["capacity_aps"] for c in told["choices"])
    page = (out / "plan.html").read_text()
    assert "1P2D" in page
    assert "2P1D" in page
    assert 'src="data:image/png;base64,' in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus", "12"], "--gpus: 12 .* write a multiple of a node's 8"),
        (["--nodes", "1"], "--nodes: 1"),
        (["--simulate", "1"], "--simulate: 1 .* give --out, too"),
    ],
)
def test_what_makes_no_plan_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["online-27b", *arguments]) == WRONG
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(said, line)


def test_what_is_simulated_is_the_choice_in_a_slice_at_the_rate_it_is_to_bear() -> None:
    scenario = load_scenario(library.find(Path("online-27b")), ["systems=[basic,dualpath]"])
    best = choose(scenario, demand_of(generate("64K", 20, 1)), 3)[0]
    one = sliced(scenario, best, Ratio("1/8"))
    assert (one.cluster.prefill, one.cluster.decode) == (best.prefill, best.decode)
    assert one.cluster.slice == Fraction(1, 8)
    assert [system.name for system in one.compared] == [best.system]
    assert one.workload.arrivals is not None
    assert one.workload.arrivals.rate == pytest.approx(best.capacity_aps / 8, rel=1e-3)
