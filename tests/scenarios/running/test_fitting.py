"""Claims: commands that fit constants take a directory, and say how to get what they lack."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plan.errors import MachineError
from scenarios.running.fitting import optimisers, parser_of


def test_where_nothing_is_said_a_fit_goes_on_where_the_last_was_broken_off() -> None:
    parser = parser_of("calibrate_storage", "Fit.")
    assert parser.parse_args([]).out == Path("runs/calibration")
    assert parser.parse_args(["--out", "there"]).out == Path("there")
    assert parser.prog == "dualpath calibrate_storage"


def test_without_scipy_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MachineError, match=r"scipy is not installed.*\[calibrate\]"):
        optimisers()
