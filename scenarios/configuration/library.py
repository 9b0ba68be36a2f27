"""The scenarios that come with the testbed, found by name: `ratios`, `validation/1p1d-compute`."""

from __future__ import annotations

import fnmatch
from pathlib import Path

from plan.errors import ScenarioError

LIBRARY = Path(__file__).parents[1] / "library"
QUICKSTART = Path("quickstart")


def names() -> list[str]:
    """All scenarios of the library, as they are asked for."""
    found = LIBRARY.rglob("*.yaml")
    return sorted(path.relative_to(LIBRARY).with_suffix("").as_posix() for path in found)


def find(asked: Path) -> Path:
    """The file that is meant: a bare name is the library's, a path that of the file there.

    `scenarios/NAME.yaml` is the library's, too, where there is no such file. What is in neither
    place is returned as it was asked for.

    Raises:
        ScenarioError: a pattern names several.
    """
    found = find_all(asked)
    if len(found) > 1:
        named = ", ".join(path.stem for path in found)
        raise ScenarioError("scenario", str(asked), f"give one of {named}")
    return found[0]


def find_all(asked: Path) -> list[Path]:
    """The same for a pattern over the library's names, such as `validation/*`."""
    if asked.suffix and asked.is_file():
        return [asked]
    parts = asked.parts
    while parts and parts[0] in ("scenarios", LIBRARY.name):
        parts = parts[1:]
    pattern = Path(*parts).with_suffix("").as_posix() if parts else ""
    found = [LIBRARY / f"{name}.yaml" for name in fnmatch.filter(names(), pattern)]
    return found or [asked]


def anchor(scenario: Path) -> Path:
    """Where relative paths in a scenario's file start: beside it.

    The library's start in the working directory, since recorded traces are no part of what is
    installed.
    """
    if scenario.resolve().is_relative_to(LIBRARY.resolve()):
        return Path.cwd()
    return scenario.parent
