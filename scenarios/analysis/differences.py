"""Two or more runs side by side: in which settings they differ, and in which figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from scenarios.results.summary import Summary

MAIN = (
    "jct_s",
    "ttft_s.mean",
    "ttft_s.p99",
    "ttst_s.mean",
    "tpot_s.mean",
    "completed",
    "snic_max_over_avg",
    "fidelity.verdict",
)
"""Figures that are told of every system, whether they differ or not."""

Value = float | str | None


class Setting(msgspec.Struct, frozen=True):
    """A dotted key of the scenario and its value in each run; None where a run has no such key."""

    key: str
    values: tuple[object, ...]


class Figure(msgspec.Struct, frozen=True):
    """A figure of one system in each run, in the units of summary.json.

    Attributes:
        name: as in summary.json, dotted.
        values: None where a run does not have it.
    """

    name: str
    values: tuple[Value, ...]

    @property
    def changes(self) -> tuple[float | None, ...]:
        """Of each run, how much more than the first one's, as a fraction of that; None where
        that says nothing."""
        base = self.values[0]
        return tuple(
            value / base - 1
            if isinstance(value, int | float) and isinstance(base, int | float) and base
            else None
            for value in self.values
        )

    @property
    def differs(self) -> bool:
        """Whether not all runs have the same."""
        return any(value != self.values[0] for value in self.values)


def settings(scenarios: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """The keys in which scenarios differ, in the order in which the first to have them does.

    Args:
        scenarios: as plain data, all defaults filled in.
    """
    flat = [dict(_leaves(scenario)) for scenario in scenarios]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = (Setting(key, tuple(one.get(key) for one in flat)) for key in keys)
    return [row for row in rows if any(value != row.values[0] for value in row.values)]


def figures(summaries: Sequence[Summary]) -> dict[str, list[Figure]]:
    """By system, every figure that one of the runs has; the main ones first."""
    names = dict.fromkeys(name for summary in summaries for name in summary.systems)
    return {name: _of_system(name, summaries) for name in names}


def _of_system(name: str, summaries: Sequence[Summary]) -> list[Figure]:
    flat = [
        dict(_leaves(msgspec.to_builtins(summary.systems[name]))) if name in summary.systems else {}
        for summary in summaries
    ]
    keys = dict.fromkeys([*MAIN, *(key for one in flat for key in one)])
    return [Figure(key, tuple(_value(one.get(key)) for one in flat)) for key in keys]


def _value(value: object) -> Value:
    if value is None or isinstance(value, float | str):
        return value
    return float(value) if isinstance(value, int) else str(value)


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
