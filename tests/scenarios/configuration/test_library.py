"""Scenarios of the library by name, and where paths in a scenario's file start."""

from __future__ import annotations

from pathlib import Path

import pytest

from plan.errors import ScenarioError
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario

TRACE = Path("traces/mini-swe-agent/lengths.jsonl.gz")


def test_the_librarys_traces_are_looked_for_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = load_scenario(library.find(library.QUICKSTART))
    assert scenario.workload.source.trace == str(tmp_path / TRACE)


def test_a_copy_of_a_library_scenario_looks_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "mine.yaml"
    copied.write_bytes(library.find(library.QUICKSTART).read_bytes())
    monkeypatch.chdir("/")
    assert load_scenario(copied).workload.source.trace == str(tmp_path / TRACE)


def test_a_pattern_names_all_that_it_fits_and_no_single_one() -> None:
    pattern = Path("validation/*-storage")
    found = library.find_all(pattern)
    assert {path.stem for path in found} > {"1p1d-storage", "2p4d-storage"}
    with pytest.raises(ScenarioError, match="give one of 1p1d-storage, 1p2d-storage"):
        library.find(pattern)


@pytest.mark.parametrize(
    "path",
    sorted(library.LIBRARY.rglob("*.yaml")),
    ids=lambda path: str(path.relative_to(library.LIBRARY).with_suffix("")),
)
def test_every_scenario_of_the_library_is_one(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert scenario.description


@pytest.mark.parametrize(
    "name", ["online-27b", "online-660b", "online-44p88d", "online-emulated", "burst", "gaps"]
)
def test_an_online_scenario_says_how_agents_arrive_and_when_it_ends(name: str) -> None:
    scenario = load_scenario(library.find(Path(name)))
    assert scenario.workload.arrivals is not None
    assert scenario.run.end.given
    assert scenario.run.warmup > 0


def test_44p88d_is_2p4d_22_times_but_for_its_rate() -> None:
    large, small = (
        load_scenario(library.find(Path(name)), ["workload.arrival=0.4 /s"])
        for name in ("online-44p88d", "online-660b")
    )
    assert large.cluster.prefill == 22 * small.cluster.prefill
    assert large.cluster.decode == 22 * small.cluster.decode
    assert large.cluster.nodes_per_group == small.cluster.nodes_per_group
    assert (large.model, large.workload) == (small.model, small.workload)
