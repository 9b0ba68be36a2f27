"""The examples of plug-ins do what their pages say, by the scenario that names them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from plan.plugins import Plugin, load
from scenarios.configuration.plugins import find
from scenarios.run import main
from scenarios.running.outcome import DONE, FAILED, WRONG

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("examples") / "run"
    assert main([str(EXAMPLES / "plugins.yaml"), "--out", str(out)]) == DONE
    return out


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_every_system_of_the_examples_serves_all(run: Path) -> None:
    systems = read(run / "summary.json")["systems"]
    assert list(systems) == ["dualpath", "least-bytes", "budget"]
    for figures in systems.values():
        assert figures["completed"] == figures["requests"] > 30


def test_plan_and_provenance_name_every_plug_in_with_its_digest(run: Path) -> None:
    plugins, provenance = read(run / "plan.json")["plugins"], read(run / "provenance.json")
    files = {Path(plugin["file"]).name for plugin in plugins.values()}
    assert files == {path.name for path in EXAMPLES.glob("*.py")}
    assert provenance["plugins"] == {name: found["digest"] for name, found in plugins.items()}
    assert "Time to first token by turn" in (run / "report.html").read_text()


def test_the_trace_is_the_csv_file_s(run: Path) -> None:
    trajectories = read(run / "plan.json")["trajectories"]
    assert [t["name"].partition("[")[0] for t in trajectories[:2]] == ["alice", "bob"]
    assert trajectories[0]["turns"][0][:2] == [9000, 120]


def test_the_documents_show_each_example() -> None:
    page = (ROOT / "docs/plugins.md").read_text()
    for path in EXAMPLES.glob("*.*"):
        assert f"examples/{path.name}" in page, path.name
    for block in page.split("```yaml\n")[1:]:
        assert isinstance(yaml.safe_load(block.partition("```")[0]), dict)


def example(name: str) -> Any:
    file, _, attribute = name.partition(":")
    plugin: Plugin = find("timings", "key", f"{EXAMPLES / file}:{attribute}")
    return load(plugin)


def test_measured_steps_are_straight_lines_between_what_was_measured() -> None:
    measured = example("measured_decode.py:MeasuredDecode")
    table = measured.__init__.__globals__["STEP_S"]

    class Model:
        layers = 30

    timing = measured(Model(), None, 1)
    for batch, step_s in table.items():
        assert timing.decode_step_s(batch, 0, 0) == pytest.approx(step_s)
    assert timing.decode_step_s(20, 0, 0) == pytest.approx((table[8] + table[32]) / 2)
    assert timing.decode_step_s(0, 0, 0) == 0.0
    assert timing.decode_step_s(256, 0, 0) > table[128]


BROKEN = {
    "raises": ("return known.fetching", "return known.nothing", "AttributeError: 'Ledger' object"),
    "invents": (
        "default=None,\n        )",
        "default=None,\n        ).name",
        "is no engine of",
    ),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_policy_ends_the_run_with_its_file_and_line(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    was, now, complaint = BROKEN[mistake]
    source = (EXAMPLES / "least_bytes.py").read_text()
    assert was in source
    (tmp_path / "broken.py").write_text(source.replace(was, now))
    systems = "systems=[dualpath, {name: mine, scheduler: broken.py:LeastBytes}]"
    arguments = ["--engine", "simulate", "--set", "workload.agents=4", "--out", str(tmp_path / "o")]
    scenario = tmp_path / "mine.yaml"
    scenario.write_text((ROOT / "tests/scenarios/tiny.yaml").read_text())
    systems = systems.replace("broken.py", str(tmp_path / "broken.py"))
    assert main([str(scenario), *arguments, "--set", systems]) == FAILED
    [line] = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    assert line.startswith(f"error: mine: {tmp_path}/broken.py:")
    assert complaint in line
    # what was served before is reported
    assert list(read(tmp_path / "o/summary.json")["systems"]) == ["dualpath"]


def test_what_makes_no_policy_is_refused_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    systems = f"systems=[{{name: mine, scheduler: '{EXAMPLES}/turns.py:section'}}]"
    out = tmp_path / "run"
    scenario = str(ROOT / "tests/scenarios/tiny.yaml")
    assert main([scenario, "--engine", "simulate", "--set", systems, "--out", str(out)]) == WRONG
    assert "turns.py" in capsys.readouterr().err
    assert not out.exists()
