"""Figures as JSON that people read, too."""

from __future__ import annotations

import json
from pathlib import Path

from scenarios.results.readable_json import write_json


def test_every_figure_has_a_line_of_its_own(tmp_path: Path) -> None:
    write_json(tmp_path / "figures.json", {"jct_s": 1.5, "requests": 3})
    assert (tmp_path / "figures.json").read_text() == '{\n  "jct_s": 1.5,\n  "requests": 3\n}\n'


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = {"a": [1, None, {"b": "ü\n"}]}
    write_json(tmp_path / "figures.json", written)
    assert json.loads((tmp_path / "figures.json").read_bytes()) == written
