"""Scenarios of the library by name, and where paths in a scenario's file start."""

from __future__ import annotations

from pathlib import Path

import pytest

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
