"""The laws of the house: who may import whom, what a node process loads, what is not written."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from topology import machine

ROOT = Path(__file__).parents[1]
BELOW_SCENARIOS = ("topology", "controller", "nodes")

WORKPLACE = re.compile(r"(?<![\w.])/(?:work|root|home)/\w+")
INDEX = "py" + "pi"
REGISTRIES = re.compile(rf"{INDEX}\.org|/{INDEX}|python{'hosted'}")


def imported(package: str) -> Iterator[tuple[str, str]]:
    """(file, module) for every import in a package, those inside functions too."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path.name, node.module


def top(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("package", BELOW_SCENARIOS)
def test_topology_controller_and_nodes_share_only_the_plan(package: str) -> None:
    others = {"scenarios", "tests", *BELOW_SCENARIOS} - {package}
    assert [(file, name) for file, name in imported(package) if top(name) in others] == []


def test_the_plan_imports_nothing_of_ours() -> None:
    ours = {"scenarios", "tests", *BELOW_SCENARIOS}
    assert [(file, name) for file, name in imported("plan") if top(name) in ours] == []


def test_nodes_know_no_network_builder_no_controller_and_no_programs() -> None:
    foreign = {"mininet", "ryu", "eventlet", "subprocess"}
    assert [(file, name) for file, name in imported("nodes") if top(name) in foreign] == []


def test_nodes_never_block_on_the_wall_clock() -> None:
    for path in (ROOT / "nodes").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(value=ast.Name(id="time"), attr="sleep"):
                    raise AssertionError(f"{path.name}:{node.lineno} sleeps")
                case ast.ImportFrom(module="time", names=names):
                    assert "sleep" not in {alias.name for alias in names}, path.name


def test_ryu_stays_in_the_controllers_application_and_its_launcher() -> None:
    users = {
        f"{package}/{file}"
        for package in (*BELOW_SCENARIOS, "scenarios", "plan")
        for file, name in imported(package)
        if top(name) in {"ryu", "eventlet"}
    }
    assert users == {"controller/app.py", "controller/launcher.py"}


def test_a_node_process_loads_nothing_it_does_not_use() -> None:
    heavy = {"matplotlib", "scapy", "mininet", "ryu", "eventlet", "rich", "yaml", "jinja2"}
    script = f"import sys, nodes.main; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_make_installs_every_package_that_the_machine_check_asks_for() -> None:
    # part of every Debian and Ubuntu
    essential = {"util-linux"}
    [programs] = re.findall(r"^PROGRAMS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    installed = {entry.partition(":")[2] for entry in programs.split()}
    asked = {*machine._PROGRAMS.values(), *machine._CAPTURE_PROGRAMS.values()}
    assert installed == asked - essential


def tracked() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and Path(name).suffix not in {".png", ".gz"}:
            yield name, (ROOT / name).read_text()


def test_nothing_tracked_names_a_package_index_or_a_developers_directory() -> None:
    found = [
        (name, match[0])
        for name, text in tracked()
        if name != "tests/test_architecture.py"
        for match in (*WORKPLACE.finditer(text), *REGISTRIES.finditer(text))
    ]
    assert found == []
