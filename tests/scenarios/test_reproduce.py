"""Claims: the command runs what it is asked for, the cheapest first, and goes on where it was."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from scenarios import reproduce
from scenarios.reproduction.comparison import Measured, Reproduction
from scenarios.reproduction.wanted import points


def test_what_needs_no_run_is_there_at_once(tmp_path: Path) -> None:
    assert reproduce.main(["3", "--out", str(tmp_path)]) == 0
    found = msgspec.json.decode((tmp_path / "reproduction.json").read_bytes(), type=Reproduction)
    assert [point.x for point in found.points] == [1, 5, 10, 20]


def test_runs_of_too_many_requests_are_left_out_and_counted(tmp_path: Path) -> None:
    assert reproduce.main(["7", "--at-most", "1", "--out", str(tmp_path)]) == 0
    found = msgspec.json.decode((tmp_path / "reproduction.json").read_bytes(), type=Reproduction)
    assert (found.points, found.missing) == ([], len(points(("7",))))


def test_what_was_run_is_shown_however_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "is_kept", lambda scenario, _: "4096-oracle" in scenario.name)

    def measured(scenarios, kept, jobs):  # type: ignore[no-untyped-def]
        for case in scenarios:
            yield case, Measured(jct_s=1000.0, ttft_mean_s=1.0, requests=1, cpu_s=0.0)

    monkeypatch.setattr(reproduce, "measured", measured)
    arguments = ["7", "--model", "ds-27b", "--at-most", "1", "--out", str(tmp_path)]
    assert reproduce.main(arguments) == 0
    found = msgspec.json.decode((tmp_path / "reproduction.json").read_bytes(), type=Reproduction)
    assert [(p.row, p.x, p.system) for p in found.points] == [
        (row, 4096, "oracle") for row in ("32K", "48K", "64K")
    ]


def test_the_cheapest_runs_come_first_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Basic and DualPath with 64K are in two figures; of those that arrive Fig 12 has the parts of
    TTFT, three rates of Basic's and eight of DualPath's."""
    order: list[str] = []

    def measured(scenarios, kept, jobs):  # type: ignore[no-untyped-def]
        for case, scenario in scenarios.items():
            order.append(scenario.name)
            yield case, Measured(jct_s=1000.0, ttft_mean_s=1.0, requests=1, cpu_s=0.0)

    monkeypatch.setattr(reproduce, "measured", measured)
    arguments = ["7", "12", "--model", "ds-660b", "--out", str(tmp_path)]
    assert reproduce.main(arguments) == 0
    assert len(order) == len(set(order)) == 3 * 3 * 4 + 2 * 2 + 3 + 8
    assert order[0].startswith("ds-660b-48K-0_1aps-")
    assert order[-1].startswith("ds-660b-64K-4096-")


def test_a_figure_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        reproduce.main(["99"])
    assert ended.value.code == 2
    assert "99" in capsys.readouterr().err
