"""The points of a sweep: what a scenario's `sweep` asks for, checked before anything runs.

A mapping of keys to lists of values is a grid, its last key varying fastest; a list names
each point. `pd` is short for `cluster.prefill` and `cluster.decode`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from plan.errors import ScenarioError
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.planning.plan import make_plan

PD = "pd"
_PD_KEYS = ("cluster.prefill", "cluster.decode")
MAX_POINTS = 1000
"""Each of them is a whole run."""
_SLUG_CHARACTERS = 40

Values = Mapping[str, Any]
"""What one point sets: dotted keys, as the scenario writes them."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        label: what sets it apart, e.g. `1P7D, agents 64`.
        directory: its name among the sweep's directories.
    """

    values: Values
    label: str
    directory: str
    scenario: Scenario


def load_points(path: Path, overrides: Sequence[str] = ()) -> list[Point]:
    """Every point of the sweep in a scenario file, loaded and planned.

    Raises:
        ScenarioError: there is no sweep, or a point cannot be honoured; names point and key.
    """
    scenario = load_scenario(path, overrides)
    points = []
    for index, values in enumerate(expand(scenario)):
        label = _label(values)
        where = f"sweep[{index}] ({label})"
        try:
            point = load_scenario(path, overrides, _assignments(values))
            slug = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")[:_SLUG_CHARACTERS].strip("-")
            point = msgspec.structs.replace(point, name=f"{scenario.name[:20]}-{slug}")
            make_plan(point)
        except ScenarioError as error:
            raise ScenarioError(
                f"{where}: {error.path}", error.value, error.remedy, error.problem
            ) from None
        points.append(Point(values, label, f"{index + 1:02d}-{slug}", point))
    return points


def expand(scenario: Scenario) -> list[Values]:
    """The points of a grid or a list, in the order in which they run.

    Raises:
        ScenarioError: no points, points that set different keys, or the same point twice.
    """
    sweep = scenario.sweep
    if not sweep:
        raise ScenarioError("sweep", sweep, "write e.g. {pd: [1:1, 2:1]}", "has no points")
    if isinstance(sweep, Mapping):
        for key, choices in sweep.items():
            if not choices:
                raise ScenarioError(f"sweep.{key}", [], "write at least one value", "is empty")
        _check_number(math.prod(map(len, sweep.values())))
        points: list[Values] = [
            dict(zip(sweep, chosen, strict=True)) for chosen in itertools.product(*sweep.values())
        ]
    else:
        _check_number(len(sweep))
        points = list(sweep)
    for index, point in enumerate(points):
        _check(f"sweep[{index}]", point, points[:index])
    return points


def _check_number(points: int) -> None:
    if points > MAX_POINTS:
        remedy = f"write fewer values: at most {MAX_POINTS} points"
        raise ScenarioError("sweep", points, remedy, "points are too many")


def _check(where: str, point: Values, before: Sequence[Values]) -> None:
    for key in point:
        if not all(key.split(".")) or key.partition(".")[0] in ("sweep", "name"):
            raise ScenarioError(f"{where}.{key}", point[key], "write e.g. workload.agents")
        if key in _PD_KEYS and PD in point:
            raise ScenarioError(f"{where}.{key}", point[key], f"leave it out beside {PD}")
    if before and set(point) != set(before[0]):
        remedy = f"set {', '.join(before[0])} in every point"
        raise ScenarioError(where, ", ".join(point), remedy, "are not the first point's keys")
    if point in before:
        raise ScenarioError(where, _label(point), "write every point once", "is there twice")


def _assignments(values: Values) -> dict[str, Any]:
    """Plain keys for `load_scenario`."""
    plain = {key: value for key, value in values.items() if key != PD}
    if PD in values:
        nodes = re.fullmatch(r"(\d{1,4}):(\d{1,4})", str(values[PD]), re.ASCII)
        if nodes is None:
            raise ScenarioError(PD, values[PD], "write prefill and decode nodes, e.g. 2:1")
        plain |= zip(_PD_KEYS, map(int, nodes.groups()), strict=True)
    return plain


def _label(values: Values) -> str:
    last = [key.rpartition(".")[2] for key in values]
    words = []
    for key, short in zip(values, last, strict=True):
        if key == PD:
            words.append(f"{str(values[key]).replace(':', 'P')}D")
        else:
            words.append(_word(short if last.count(short) == 1 else key, values[key]))
    return ", ".join(words)


def _told(value: object) -> str:
    """Without the zeros of a large number."""
    return f"{value:g}" if isinstance(value, float) and value >= 1e6 else str(value)


def _word(key: str, value: object) -> str:
    """Faults go by their kinds and targets, a mapping by its values."""
    if isinstance(value, Mapping):
        return " ".join((key, *map(_told, value.values())))
    if key != "faults" or not isinstance(value, list):
        return f"{key} {_told(value)}"
    each = [
        " ".join(str(fault[part]) for part in ("kind", "target", "share", "to") if part in fault)
        + (" and back" if "back" in fault else "")
        if isinstance(fault, Mapping)
        else str(fault)
        for fault in value
    ]
    return " + ".join(each) or "no fault"
