"""Text from scenarios is shown as it stands: neither markup nor mathematics."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import msgspec
import pytest
import yaml
from matplotlib import style
from matplotlib.figure import Figure

from scenarios.analysis.agreement import Comparison, Validation
from scenarios.analysis.sweep_figures import gather
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.planning.points import load_points
from scenarios.reports import validation_report
from scenarios.reports.figures import STYLE
from scenarios.reports.report import write_report
from scenarios.reports.sweep_report import write_sweep
from scenarios.results import provenance
from tests.scenarios.synthetic import basic_and_dualpath

pytestmark = pytest.mark.slow

NASTY = [
    r"costs $5 or $\6",
    r"$\frac{$",
    "a_b^c{d}",
    "<script>alert(1)</script>",
    "x & y \"quoted\" 'too'",
    "ü √ 漢 \N{RIGHT-TO-LEFT OVERRIDE}",
    r"\\textbf{%}#~",
]


@pytest.fixture(autouse=True)
def a_missing_glyph_is_no_matter() -> None:
    warnings.filterwarnings("ignore", message="Glyph .* missing from font")


def escaped(page: str) -> bool:
    return "<script>" not in page and "&lt;script&gt;" in page


def test_a_sweep_over_any_text_has_its_pictures_and_its_page(tmp_path: Path) -> None:
    asked = {
        "engine": "simulate",
        "cluster": {"slice": "1/8"},
        "workload": {"source": {"generator": "32K"}, "agents": 2, "turns": {"count": 1}},
        "sweep": {"description": NASTY},
    }
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(asked, allow_unicode=True))
    points = load_points(path)
    for name, errors in (("whole", {}), ("failed", {points[0].directory: NASTY[3]})):
        figures = gather("case", NASTY[3], points, {}, errors)
        (tmp_path / name).mkdir()
        write_sweep(tmp_path / name, figures, points)
        assert list((tmp_path / name / "plots").iterdir())
        assert escaped((tmp_path / name / "sweep.html").read_text())


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("styled", [True, False])
def test_text_is_drawn_as_it_stands(tmp_path: Path, text: str, styled: bool) -> None:
    with style.context(STYLE if styled else {}):
        figure = Figure()
        axes = figure.subplots()
        axes.set_title(text)
        axes.set_xticks([0, 1], [text, f"${text}$"])
        axes.plot([0, 1], label=f"{text}$x$")
        axes.legend()
        figure.savefig(tmp_path / "drawn.png")
        assert not any(label.get_parse_math() for label in (axes.title, *axes.get_xticklabels()))


def test_a_run_s_page_shows_text_as_it_stands(tmp_path: Path) -> None:
    plan, results = basic_and_dualpath()
    scenario = load_scenario(library.find(library.QUICKSTART), [f"description={NASTY[3]!r}"])
    origin = provenance.collect([NASTY[4]], seed=1, dilation=NASTY[3])
    write_report(tmp_path, scenario, plan, results, origin, NASTY)
    assert escaped((tmp_path / "report.html").read_text())


def test_a_validation_s_page_shows_text_as_it_stands(tmp_path: Path) -> None:
    figures = [
        Comparison(figure=f"{NASTY[3]}, s", emulated=1.0, simulated=1.1, mark=0.05),
        Comparison(figure=r"$\frac{$", emulated=1.0, simulated=1.0),
    ]
    validations = [
        Validation(
            scenario=name, description=name, verdicts={"basic": name}, systems={"basic": figures}
        )
        for name in NASTY
    ]
    validation_report.write(validations, tmp_path)
    assert escaped((tmp_path / "validation.html").read_text())
    assert len(msgspec.json.decode((tmp_path / "validation.json").read_bytes())) == len(NASTY)


@pytest.mark.parametrize("text", ["text.usetex: True", "savefig.format: svg", "figure.dpi: 7"])
def test_a_matplotlibrc_in_the_working_directory_is_not_followed(tmp_path: Path, text: str) -> None:
    (tmp_path / "matplotlibrc").write_text(text)
    key = text.partition(":")[0]
    script = (
        "import scenarios.reports.sweep_report, matplotlib; "
        f"print(matplotlib.rcParams[{key!r}] == matplotlib.rcParamsDefault[{key!r}], "
        "matplotlib.matplotlib_fname())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith("True "), done.stderr


@pytest.mark.timeout(60)
def test_a_pipe_named_matplotlibrc_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "matplotlibrc")
    subprocess.run(
        [sys.executable, "-P", "-c", "import scenarios.reports.figures"],
        cwd=tmp_path,
        check=True,
        timeout=15,
    )
