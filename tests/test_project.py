"""What stands around the code: packaging, licence, recipes, workflow and hooks."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())


def steps() -> Iterator[dict[str, Any]]:
    """Of all jobs of the workflow."""
    for job in WORKFLOW["jobs"].values():
        yield from job["steps"]


def test_the_workflow_runs_nothing_but_make_and_what_make_needs() -> None:
    for step in steps():
        words = [word for word in shlex.split(step.get("run", "")) if word != "sudo"]
        match words:
            case [] | ["apt-get", *_]:
                pass
            case ["make", target, *_]:
                assert target in TARGETS
            case _:
                raise AssertionError(step["run"])


def test_the_workflow_may_read_the_code_and_nothing_else() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not [name for name, job in WORKFLOW["jobs"].items() if "permissions" in job]


def test_actions_are_pinned() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@(v\d+|[0-9a-f]{40})", name) for name in used)


def test_the_workflow_tries_every_python_that_the_package_names() -> None:
    tried = {point["python"] for point in WORKFLOW["jobs"]["fast"]["strategy"]["matrix"]["include"]}
    named = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name}
    assert tried == named


def test_hooks_are_commands_of_make_lint() -> None:
    recipe = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    checks = re.findall(r"\$\(PYTHON\) (.*)$", recipe, re.MULTILINE)
    entries = [hook["entry"] for repo in HOOKS["repos"] for hook in repo["hooks"]]
    assert entries == [f".venv/bin/python {check}" for check in checks]
    assert len(entries) == 3


def test_commands_of_make_that_contributors_are_told_of_exist() -> None:
    told = re.findall(r"(?:`|    )(?:sudo )?make ([a-z]+)", CONTRIBUTING)
    assert len(told) > 5
    assert set(told) <= TARGETS


def test_files_that_recipes_name_are_there() -> None:
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml|yaml|lock))`", CONTRIBUTING)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_kind_of_addition_has_a_recipe() -> None:
    recipes = CONTRIBUTING.partition("## Recipes")[2]
    for kind in ("scenario key", "policy", "model or GPU", "trace format", "picture"):
        assert f"**A {kind}.**" in recipes


def test_the_newest_released_version_is_that_of_package_and_citation() -> None:
    released = re.findall(
        r"^## (\d+\.\d+\.\d+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert released[0] == PROJECT["version"] == citation["version"]


def test_the_licence_is_the_one_that_is_declared() -> None:
    head = [line.strip() for line in (ROOT / "LICENSE").read_text().splitlines() if line.strip()]
    assert head[:2] == ["Apache License", "Version 2.0, January 2004"]
    assert (
        PROJECT["license"]
        == yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"]
        == "Apache-2.0"
    )


@pytest.mark.parametrize("package", ["plan", "topology", "controller", "nodes", "scenarios"])
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


def test_a_simulated_run_is_installed_without_what_emulation_needs() -> None:
    names = {re.split("[>=]", wanted)[0] for wanted in PROJECT["dependencies"]}
    assert not names & {re.split("[>=]", w)[0] for w in PROJECT["optional-dependencies"]["emulate"]}
