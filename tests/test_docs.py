"""What the documents say is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from msgspec import inspect

from controller.lanes import PAPER, Arbitration
from scenarios.configuration import yaml_dialect
from scenarios.configuration.hf_models import FAMILIES
from scenarios.configuration.models import GPUS, MODELS
from scenarios.configuration.schema import Scenario
from scenarios.configuration.systems import BASELINE, BUILT_IN
from scenarios.results.summary import SystemSummary
from scenarios.running import outcome
from scenarios.workload.trace_formats import Format

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SCENARIO = (ROOT / "docs/scenario.md").read_text()
RUN_DIRECTORY = (ROOT / "docs/run-directory.md").read_text()
PAGES = sorted(
    path.relative_to(ROOT) for pattern in ("*.md", "docs/*.md") for path in ROOT.glob(pattern)
)
INVARIANTS = (ROOT / "docs/invariants.md").read_text()


def rows(page: str, heading: str) -> Iterator[list[str]]:
    """Cells of the table of a page whose first heading is that."""
    table = page.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def keys(kind: inspect.Type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of the schema and their defaults, as a scenario would write them."""
    assert isinstance(kind, inspect.StructType)
    for field in kind.fields:
        if isinstance(field.type, inspect.StructType):
            yield from keys(field.type, f"{prefix}{field.encode_name}.")
        elif field.required:
            yield prefix + field.encode_name, ...
        else:
            yield prefix + field.encode_name, msgspec.to_builtins(field.default, enc_hook=str)


def written(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple | list):
        return f"[{', '.join(default)}]"
    return str(default)


def test_the_documents_name_every_scenario_key_and_its_default() -> None:
    documented = {key.strip("`"): default for key, _, default, _ in rows(SCENARIO, "key")}
    schema = dict(keys(inspect.type_info(Scenario)))
    assert set(documented) == set(schema)
    for key, default in schema.items():
        # what None and a required key stand for is said in words
        if default not in (None, ..., ""):
            assert documented[key] == f"`{written(default)}`", key


def test_the_documents_give_the_papers_arbitration_as_a_scenario_writes_it() -> None:
    [meaning] = [row[3] for row in rows(SCENARIO, "key") if row[0] == "`lanes`"]
    [given] = re.findall(r"`(\{high_limit.*?\})`", meaning)
    written = yaml_dialect.read(given)
    assert list(written) == list(Arbitration.__struct_fields__)
    assert msgspec.convert(written, Arbitration) == PAPER


def test_the_documents_name_every_figure_of_the_summary() -> None:
    documented = [
        name for row in rows(RUN_DIRECTORY, "figure") for name in re.findall(r"`(\w+)`", row[0])
    ]
    assert sorted(documented) == sorted(SystemSummary.__struct_fields__)


def test_the_readme_names_every_exit_status() -> None:
    statuses = {
        value
        for name, value in vars(outcome).items()
        if name.isupper() and isinstance(value, int) and not isinstance(value, bool)
    }
    assert {int(row[0]) for row in rows(README, "status")} == statuses


@pytest.mark.parametrize("name", [*BUILT_IN, *MODELS, *GPUS, *get_args(Format), *FAMILIES])
def test_the_documents_name_every_choice(name: str) -> None:
    assert f"`{name}`" in SCENARIO


def test_the_documents_say_of_every_system_what_the_registry_does() -> None:
    documented = [tuple(row) for row in rows(SCENARIO, "system")]
    known = [(f"`{name}`", one.title, one.description) for name, one in BUILT_IN.items()]
    assert documented == known
    assert f"Speed-ups are over `{BASELINE}`" in SCENARIO


def test_every_invariant_is_held_by_a_test_that_is_there() -> None:
    named = re.findall(r"`(tests/\S+)::(\w+)`", INVARIANTS)
    assert len(named) == len(re.findall(r"^\| .* \| `", INVARIANTS, re.MULTILINE)) > 30
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(), test


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_the_documents_link_to_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert (ROOT / page.parent / target).exists(), target


def test_the_gate_runs_the_test_command_of_the_readme() -> None:
    assert "    sudo make test\n" in README
    assert "exec sudo make test\n" in (ROOT / ".ci/run").read_text()
