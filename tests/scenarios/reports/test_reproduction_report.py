"""Claims: the report of a reproduction has every point, in its page, its data, its table."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scenarios.reports.reproduction_report import markdown, print_table, write
from scenarios.reproduction.comparison import Measured, Reproduction, reproduction
from scenarios.reproduction.paper import Case
from scenarios.reproduction.wanted import points


def some() -> Reproduction:
    """Two of Figure 7's runs, and all of Figure 3."""
    wanted = points()
    runs = {
        Case("ds-27b", "32K", 512, name): Measured(
            jct_s=400.0, ttft_mean_s=1.0, requests=9, cpu_s=1.0
        )
        for name in ("basic", "dualpath")
    }
    return reproduction(wanted, runs, set())


def test_files_need_nothing_else_and_hold_every_point(tmp_path: Path) -> None:
    result = some()
    write(result, tmp_path)
    data = (tmp_path / "reproduction.json").read_bytes()
    assert msgspec.json.decode(data, type=Reproduction) == result
    page = (tmp_path / "reproduction.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "have not been run" in page
    assert (tmp_path / "figure-7.png").exists()
    assert (tmp_path / "reproduction.md").read_text() == markdown(result)


def test_the_page_of_the_documentation_has_a_line_a_point() -> None:
    result = some()
    lines = markdown(result).splitlines()
    assert "| ds-27b | 32K | 512 | basic | jct_s | 522 | 400 | -23.4% |  |" in lines
    assert sum(line.startswith("| ds-") for line in lines) == len(result.points)


def test_the_table_says_what_is_missing(capsys: object) -> None:
    print_table(some())
    said = capsys.readouterr().out  # type: ignore[attr-defined]
    assert "values of the paper have not been run" in said
