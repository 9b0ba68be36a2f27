"""The command `python -m scenarios.theory`."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from scenarios.running.outcome import WRONG
from scenarios.theory import bytes_per_s, main


def test_rates_are_read_in_bits_and_bytes() -> None:
    assert bytes_per_s("400 Gbit/s") == pytest.approx(50e9)
    assert bytes_per_s("0.5 TB/s") == pytest.approx(500e9)
    with pytest.raises(argparse.ArgumentTypeError, match="'fast' is no rate"):
        bytes_per_s("fast")
    with pytest.raises(argparse.ArgumentTypeError, match="has unit 'W'; use one of B/s"):
        bytes_per_s("3 kW")


def test_the_command_prints_the_band_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "theory.png"
    main(["--g", "8", "--s", "1", "--M", "500 GB/s", "--B", "400 Gbit/s", "--plot", str(image)])
    printed = capsys.readouterr().out
    assert "0.1429 <= P/D <= 3.5" in printed
    assert "DE CNIC write, DE DRAM" in printed
    assert image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--g", "0"], "error: --g: 0 cannot be used; write a number above 0"),
        (["--s", "nan"], "error: --s: nan cannot be used; write a number above 0"),
        (["--plot", "/nowhere/theory.png"], "No such file or directory: '/nowhere/theory.png'"),
    ],
)
def test_the_command_refuses_in_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == WRONG
    # the first drawing on a machine looks for its fonts, and says so where that takes long
    said = capsys.readouterr().err.splitlines()
    [line] = [line for line in said if "font cache" not in line]
    assert line.startswith("error: ")
    assert line.endswith(complaint)


def test_the_command_refuses_a_rate_without_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--M", "500"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("'500' has unit ''; use one of B/s, bit/s, b/s, bps")
