"""Sections of plug-ins in the report."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from plan.errors import PluginError
from plan.plugins import Plugin
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.reports.report import write_report
from scenarios.results import provenance
from tests.plugged import plugin
from tests.scenarios.synthetic import basic_and_dualpath

pytestmark = pytest.mark.slow

GOOD = """
    from matplotlib.figure import Figure
    from scenarios.reports.sections import Section
    def plugin(plan, results, summary):
        figure = Figure()
        figure.subplots().plot([1, 2])
        names = ", ".join(result.system.name for result in results)
        return Section("<Mine>", names, [["a", "b"], ["1", "<2>"]], figure)
"""


def page(place: Path, mine: Plugin) -> str:
    plan, results = basic_and_dualpath()
    plan = msgspec.structs.replace(plan, plugins={"mine": mine})
    scenario = load_scenario(library.find(library.QUICKSTART))
    report = msgspec.structs.replace(scenario.report, sections=("mine",))
    scenario = msgspec.structs.replace(scenario, systems=("basic", "dualpath"), report=report)
    write_report(place, scenario, plan, results, provenance.collect(["run"], seed=1))
    return (place / "report.html").read_text()


def test_a_section_is_in_the_page_its_text_as_it_stands(tmp_path: Path) -> None:
    text = page(tmp_path / "run", plugin(tmp_path, GOOD))
    assert "<h2>&lt;Mine&gt;</h2>" in text
    assert "<p>basic, dualpath</p>" in text
    assert "<td>&lt;2&gt;</td>" in text
    assert (tmp_path / "run/plots/section-1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("was", "now", "complaint"),
    [
        ("names = ", "names = missing + ", "mine.py:6 in plugin: NameError"),
        ("return Section(", "return (", "mine.py:3: plugin answers"),
    ],
)
def test_one_that_fails_leaves_the_report_and_is_named_in_it(
    tmp_path: Path, was: str, now: str, complaint: str
) -> None:
    with pytest.raises(PluginError) as failed:
        page(tmp_path / "run", plugin(tmp_path, GOOD.replace(was, now)))
    assert complaint in str(failed.value)
    text = (tmp_path / "run/report.html").read_text()
    assert complaint in text
    assert "DualPath finished 1.90x faster than Basic" in text
