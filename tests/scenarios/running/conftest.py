"""Places and people around a run's directory."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.other_users import INVOKER, INVOKER_GROUP, directory

SWEEP = {
    "engine": "simulate",
    "cluster": {"slice": "1/8"},
    "scale": {"layer_groups": 2},
    "workload": {
        "source": {"generator": "32K"},
        "agents": 2,
        "turns": {"count": 1},
        "max_gen": 2,
    },
    "systems": ["basic"],
    "sweep": {"seed": [1, 2]},
}


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Where everybody can write, as in /tmp."""
    place = directory(tmp_path / "shared")
    place.chmod(0o1777)
    return place


@pytest.fixture
def under_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(INVOKER))
    monkeypatch.setenv("SUDO_GID", str(INVOKER_GROUP))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of two points that are soon done."""
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(SWEEP))
    return path
