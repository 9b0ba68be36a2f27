"""The Python that we start takes its modules from nowhere but its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from topology.interpreter import python

SAY = "import json, sys; print(json.dumps([sys.path, sys.dont_write_bytecode, sys.executable]))"


def test_neither_the_working_directory_nor_the_environment_is_on_the_path(tmp_path: Path) -> None:
    done = subprocess.run(
        python("-c", SAY),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    path, _, executable = json.loads(done.stdout)
    assert executable == sys.executable
    assert not {"", ".", str(tmp_path)} & set(path)


@pytest.mark.parametrize("without", [True, False])
def test_whether_compiled_files_are_written_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, without: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", without)
    done = subprocess.run(python("-c", SAY), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[1] == without
