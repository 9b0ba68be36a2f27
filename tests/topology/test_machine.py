"""Claims about what the machine check finds."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from topology import machine

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = (ROOT / "build-constraints.txt").read_text()


def test_every_missing_program_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    problems = {problem.what: problem.remedy for problem in machine.check()}
    assert problems["program ovs-vswitchd is not there"] == "apt-get install openvswitch-switch"
    assert problems["program mnexec is not there"] == "apt-get install mininet"


def test_tcpdump_is_missed_only_where_links_are_to_be_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = machine.Problem("program tcpdump is not there", "apt-get install tcpdump")
    assert wanted in machine.check(capture=True)
    assert wanted not in machine.check()


def test_a_user_who_is_not_root_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert any(
        problem.what == "not run as root" and problem.remedy.startswith("sudo ")
        for problem in machine.check()
    )


@pytest.mark.network
def test_a_facility_the_kernel_lacks_is_reported_with_what_it_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = {"telepathy": ("tc qdisc add dev lo root telepathy", "buy a crystal ball")}
    monkeypatch.setattr(machine, "_FACILITIES", bad)
    (problem,) = machine.check()
    assert problem.what.startswith("the kernel does not do telepathy: ")
    assert "unknown" in problem.what
    assert problem.remedy == "buy a crystal ball"


def test_the_packages_asked_for_are_those_of_the_extra() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert {re.split("[>=]", wanted)[0] for wanted in extras["emulate"]} == {*machine.PACKAGES}


def test_the_remedy_builds_ryu_as_make_does() -> None:
    [constraint] = re.findall(r"^setuptools==.*$", CONSTRAINTS, re.MULTILINE)
    assert constraint in machine._BUILD_TOOLS.split()


def test_the_readme_installs_the_extra_as_the_remedy_does() -> None:
    said = (ROOT / "README.md").read_text()
    assert f"pip install {machine._BUILD_TOOLS} && " in said
    assert "pip install --no-build-isolation 'dualpath-testbed[emulate]'" in said
