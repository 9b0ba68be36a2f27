"""The report says what the figures say, in one page that needs nothing else."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from plan.model import Plan
from plan.records import Ending
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.reports.headline import headline
from scenarios.reports.report import cnic_theory, write_report
from scenarios.results import provenance
from scenarios.results.metrics import summarise
from scenarios.results.result import SystemResult
from scenarios.results.summary import Summary
from tests.scenarios.synthetic import basic_and_dualpath, make_plan, make_result

pytestmark = pytest.mark.slow

SCENARIO = load_scenario(library.find(library.QUICKSTART))


def say(plan: Plan, results: list[SystemResult]) -> str:
    return headline(plan, [result.system for result in results], summarise(plan, results))


class Resources(HTMLParser):
    """Every address that a browser would fetch or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [v for k, v in attrs if k in ("src", "href", "srcset", "action") and v]


def write(directory: Path, results: list[SystemResult], plan: Plan) -> str:
    origin = provenance.collect(["run", "<quickstart>"], seed=1)
    served = tuple(result.system.name for result in results)
    scenario = msgspec.structs.replace(SCENARIO, systems=served)
    write_report(directory, scenario, plan, results, origin, ["a <warning>"])
    return (directory / "report.html").read_text()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of Basic without fault and DualPath with three dropped packets."""
    directory = tmp_path_factory.mktemp("report")
    plan, (basic, dualpath) = basic_and_dualpath()
    write(directory, [basic, replace(dualpath, drops={"kv": 3})], plan)
    return directory


@pytest.fixture
def page(written: Path) -> str:
    return (written / "report.html").read_text()


def test_the_headline_says_who_won_by_how_much_and_why() -> None:
    assert say(*basic_and_dualpath()) == (
        "DualPath finished 1.90x faster than Basic (20 s against 38 s of model time): Basic read "
        "its KV-Cache through the prefill SNIC (100% busy) while the decode SNIC idled (0.0%); "
        "DualPath read through both (100% and 100% busy)."
    )


def test_the_headline_does_not_blame_an_snic_that_was_not_full() -> None:
    plan = make_plan()
    text = say(
        plan,
        [
            make_result(plan, "basic", 22.0, {"pe0": 0.4, "de0": 0.0}),
            make_result(plan, "dualpath", 20.0, {"pe0": 0.2, "de0": 0.2}),
        ],
    )
    assert "1.10x faster" in text
    assert "storage bandwidth did not hold Basic back" in text


def test_the_headline_calls_a_tie_a_tie() -> None:
    plan = make_plan()
    use = {"pe0": 0.5, "de0": 0.0}
    results = [make_result(plan, "basic", 20.2, use), make_result(plan, "dualpath", 20.0, use)]
    assert say(plan, results).startswith("DualPath and Basic finished together (20 s against 20.2")


def test_the_headline_lets_basic_win() -> None:
    plan, (basic, dualpath) = basic_and_dualpath()
    swapped = [
        replace(basic, records=dualpath.records),
        replace(dualpath, records=basic.records),
    ]
    assert say(plan, swapped).startswith("Basic served the workload in 20 s")


def test_the_oracle_is_a_yardstick_and_does_not_compete() -> None:
    plan, results = basic_and_dualpath()
    text = say(plan, [*results, make_result(plan, "oracle", 10.0, {})])
    assert text.startswith("DualPath finished 1.90x faster than Basic")
    assert text.endswith("the Oracle needed 10 s: DualPath took 2.00 times that.")


def test_an_unfinished_system_does_not_win() -> None:
    plan, (basic, dualpath) = basic_and_dualpath()
    assert say(plan, [basic, replace(dualpath, complete=False)]).startswith("Basic served")
    assert "nothing to compare" in say(plan, [replace(basic, complete=False)])


def test_the_page_needs_no_other_file(written: Path, page: str) -> None:
    resources = Resources()
    resources.feed(page)
    live = page.count('class="live" id="chart-')
    assert len(resources.found) + live >= len(list((written / "plots").iterdir()))
    kinds = ("data:image/svg+xml;base64,", "#")
    assert all(address.startswith(kinds) for address in resources.found)
    assert "url(" not in page
    assert "@import" not in page


def test_narrow_pages_have_pictures_whose_letters_can_be_read(page: str) -> None:
    """At 400 px, of which 42 px are margins and frames."""
    narrow = re.findall(r'<source media="[^"]*" srcset="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(narrow) == len(re.findall("<picture>", page)) > 2
    for picture in (base64.b64decode(data).decode() for data in narrow):
        wide = float(re.findall(r'viewBox="0 0 ([\d.]+)', picture)[0])
        least = min(map(float, re.findall(r'font-size="([\d.]+)"', picture)))
        assert least * (400 - 42) / wide >= 11


def test_the_page_escapes_what_it_quotes(page: str) -> None:
    assert "a &lt;warning&gt;" in page
    assert "run &lt;quickstart&gt;" in page


def test_an_incomplete_run_is_marked_before_the_headline(tmp_path: Path, page: str) -> None:
    assert "Incomplete." not in page
    plan, (basic, dualpath) = basic_and_dualpath()
    cut_short = write(tmp_path, [basic, replace(dualpath, complete=False)], plan)
    assert 0 < cut_short.index("Incomplete.") < cut_short.index('class="headline"')


def test_a_run_that_ended_before_a_system_is_marked_and_names_it(tmp_path: Path) -> None:
    plan, results = basic_and_dualpath()
    origin = provenance.collect(["run"], seed=1)
    write_report(tmp_path, SCENARIO, plan, results, origin, [])
    page = (tmp_path / "report.html").read_text()
    assert 0 < page.index("Incomplete.") < page.index("Without figures: the Oracle.")


def test_a_run_broken_off_before_anything_was_done_is_still_reported(tmp_path: Path) -> None:
    plan, (basic, _) = basic_and_dualpath()
    begun = [msgspec.structs.replace(record, done_s=None) for record in basic.records]
    page = write(tmp_path, [replace(basic, records=begun, complete=False)], plan)
    assert "Incomplete." in page
    assert "nothing to compare" in page


def test_the_verdict_and_its_reasons_are_on_the_page(page: str) -> None:
    assert "3 packets were dropped" in page
    assert re.search(r'DualPath: <span class="fair">doubtful', page)
    assert re.search(r'Basic: <span class="good">believable', page)


def test_the_summary_file_holds_what_was_summarised(written: Path) -> None:
    plan, (basic, dualpath) = basic_and_dualpath()
    text = (written / "summary.json").read_bytes()
    expected = summarise(plan, [basic, replace(dualpath, drops={"kv": 3})])
    assert msgspec.json.decode(text, type=Summary) == expected


def test_the_prediction_is_the_paper_s_for_one_prefill_and_one_decode_node() -> None:
    # (B s / g) times 2, 1 + D/P, P/D + 2 and 2 P/D + 1, over B
    whole = load_scenario(library.find(library.QUICKSTART), ["cluster.snic=400 Gbit/s"])
    assert cnic_theory(whole.cluster) == {
        "prefill": pytest.approx((2 / 8, 2 / 8)),
        "decode": pytest.approx((3 / 8, 3 / 8)),
    }


def test_provenance_names_code_machine_and_command() -> None:
    origin = provenance.collect(["run", "x.yaml"], seed=3, datapath="netdev")
    assert (origin.command, origin.seed, origin.datapath) == ("run x.yaml", 3, "netdev")
    assert "unknown" not in origin.project
    assert origin.packages["mininet"][0].isdigit()


def without_end(result: SystemResult) -> SystemResult:
    """The same run, had it been broken off by the time, its first half left out."""
    ending = Ending(ended_by="after", from_s=10.0, to_s=result.ending.to_s, under_way=3, agents=8)
    return replace(result, ending=ending)


def test_of_runs_without_an_end_the_headline_says_who_kept_the_slo() -> None:
    plan, results = basic_and_dualpath()
    text = say(plan, [without_end(result) for result in results])
    assert text.startswith("Basic did not keep the SLO")
    assert "; DualPath kept the SLO" in text


def test_a_report_of_a_run_without_an_end_names_what_it_left_out(tmp_path: Path) -> None:
    plan, results = basic_and_dualpath()
    page = write(tmp_path, [without_end(result) for result in results], plan)
    for text in ("ended by", "measured from, s", "requests under way at the end"):
        assert text in page
