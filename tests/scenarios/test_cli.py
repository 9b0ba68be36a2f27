"""The command `dualpath`."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from scenarios.cli import COMMANDS, DISTRIBUTION, main


def test_a_command_is_handed_the_arguments_after_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["theory", "--g", "4", "--s", "0.5"]) == 0
    assert "bottleneck-free: " in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_calls_it_by_the_name_it_is_called_by(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: dualpath {command} ")


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(f"    {command}" in said for command in COMMANDS)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"dualpath {version(DISTRIBUTION)}\n"


@pytest.mark.parametrize("arguments", [[], ["rum"], ["--engine", "simulate"]])
def test_anything_but_a_command_is_a_wrong_command_line(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_help_loads_no_command_and_nothing_installed() -> None:
    script = (
        "import sys; from contextlib import suppress; from scenarios.cli import main\n"
        "with suppress(SystemExit): main(['--help'])\n"
        "print(*{'scenarios.run', 'msgspec', 'numpy', 'matplotlib', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""
