"""The command `python -m scenarios.export`, and what other tools make of its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.export import main
from scenarios.results.saved_run import read_summary
from scenarios.running.outcome import DONE, WRONG
from tests.scenarios.saved import saved_run

PAGE = (Path(__file__).parents[2] / "docs/run-directory.md").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = saved_run(tmp_path_factory.mktemp("runs") / "one")
    assert main([str(directory)]) == DONE
    return directory


def test_every_system_has_a_file_of_every_format(run: Path) -> None:
    documented = set(re.findall(r"`systems/NAME/(\S+)`.*`dualpath export`", PAGE))
    assert len(documented) == 4
    for system in ("basic", "dualpath"):
        assert documented <= {path.name for path in (run / "systems" / system).iterdir()}


def test_what_is_asked_for_is_written_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = saved_run(tmp_path / "run")
    assert main([str(run), "--format", "vllm", "--systems", "basic"]) == DONE
    assert capsys.readouterr().out.split() == [str(run / "systems/basic/vllm_bench.json")]
    assert not list(run.rglob("timeline.json.gz"))
    assert not list((run / "systems/dualpath").glob("vllm*"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--format", "otf2"], '--format: "otf2" is not there; choose from timeline, aiperf, vl'),
        (["--systems", "oracle"], '--systems: "oracle" is not there; choose from basic, dual'),
    ],
)
def test_what_is_not_there_is_refused(
    run: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), *arguments]) == WRONG
    assert complaint in capsys.readouterr().err


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == WRONG
    (tmp_path / "sweep.json").touch()
    assert main([str(tmp_path)]) == WRONG
    first, second = capsys.readouterr().err.splitlines()
    assert "holds no run's report; name the directory of a run" in first
    assert "it is a sweep: name one of its points" in second


@pytest.mark.parametrize("package", ["pandas", "duckdb"])
def test_the_documents_lines_read_a_run(
    run: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package)
    monkeypatch.chdir(run)
    [lines] = re.findall(rf"```python\n(import {package}\n.*?)```", PAGE, re.DOTALL)
    found: dict[str, object] = {}
    exec(lines, found)
    figures = read_summary(run).systems["dualpath"]
    assert figures.ttft_s is not None
    assert found["mean_ttft_s"] == pytest.approx(figures.ttft_s.mean)
    assert found["read_bytes"] == pytest.approx(figures.snic["pe0"].read_bytes)


def test_aiperf_reads_its_own_back(run: Path) -> None:
    models = pytest.importorskip("aiperf.common.models")
    export_models = pytest.importorskip("aiperf.common.models.export_models")
    place = run / "systems/dualpath"
    lines = (place / "profile_export.jsonl").read_text().splitlines()
    assert all(models.MetricRecordInfo.model_validate_json(line).metrics for line in lines)
    whole = export_models.JsonExportData.model_validate_json(
        (place / "profile_export_aiperf.json").read_text()
    )
    assert whole.time_to_first_token.count == len(lines)
