"""The paper's points as data (`paper.yaml`)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from scenarios.configuration import yaml_dialect
from scenarios.workload.generator import DATASET, MaxLen

Figure = Literal["3", "7", "10", "11", "12"]
FIGURES: tuple[Figure, ...] = ("3", "7", "10", "11", "12")
"""Whose points are run."""


class Case(NamedTuple):
    """One run: a system serves so many agents.

    Attributes:
        aps: agents that arrive a second, each one of so many; 0: all start together.
    """

    model: str
    row: MaxLen
    agents: int
    system: str
    aps: float = 0.0


class PaperPoint(NamedTuple):
    """One value of a figure.

    Attributes:
        case: what has to be run for it; None: it follows from the compute model alone.
        x: where it stands on the figure's axis.
        value: in the quantity's unit; reading_error: as a share of it.
    """

    figure: Figure
    case: Case | None
    x: float
    quantity: str
    value: float
    reading_error: float


class Jct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[oracle, dualpath, basic] by model, MaxLen and agents, s."""

    source: str
    reading_error: float
    values: dict[str, dict[MaxLen, dict[int, tuple[float, float, float]]]]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decode step of one model; what its GPUs hold follows from Little's law, with some 15K
    generated tokens an agent."""

    ep_group: int
    batch: int
    tpot_s: float


class Tpot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decode steps by model."""

    source: str
    reading_error: float
    context: int
    values: dict[str, list[Step]]


class Ablation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[basic, layerwise, dualpath-rr, dualpath] by agents, s."""

    source: str
    reading_error: float
    values: dict[int, tuple[float, float, float, float]]
    mean_cut_percent: dict[str, float]


class Batches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Relative token throughput by requests of a forward batch."""

    source: str
    reading_error: float
    values: dict[int, float]


class Online(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Latencies in seconds by model, quantity, system and agents that arrive a second."""

    source: str
    reading_error: float
    values: dict[str, dict[str, dict[str, dict[float, float]]]]


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The large run over its time, every 100 s."""

    source: str
    reading_error: float
    agents: int
    prompt_tps_1e7: list[float]
    running_agents: list[float]
    prompt_tokens_an_agent: float


class Paper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    jct: Jct
    tpot: Tpot
    ablation: Ablation
    online: Online
    batches: Batches
    scale: Scale


@cache
def paper() -> Paper:
    """What the paper measured."""
    text = Path(__file__).with_name("paper.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml_dialect.read(text), Paper)


def points(figures: tuple[Figure, ...] = FIGURES) -> list[PaperPoint]:
    """The points of some figures, in their order there."""
    found: list[PaperPoint] = []
    known = paper()
    if "3" in figures:
        found += [
            PaperPoint("3", None, n, "throughput", value, known.batches.reading_error)
            for n, value in known.batches.values.items()
        ]
    if "7" in figures:
        found += [
            PaperPoint("7", Case(model, row, n, name), n, "jct_s", value, known.jct.reading_error)
            for model, rows in known.jct.values.items()
            for row, bars in rows.items()
            for n, values in bars.items()
            for name, value in zip(("oracle", "dualpath", "basic"), values, strict=True)
        ]
    found += [point for point in _online(known.online) if point.figure in figures]
    if "12" in figures:
        names = ("basic", "layerwise", "dualpath-rr", "dualpath")
        error = known.ablation.reading_error
        found += [
            PaperPoint("12", Case("ds-660b", "64K", n, name), n, "jct_s", value, error)
            for n, values in known.ablation.values.items()
            for name, value in zip(names, values, strict=True)
        ]
    return found


def _online(online: Online) -> Iterator[PaperPoint]:
    for model, quantities in online.values.items():
        for quantity, systems in quantities.items():
            figure: Figure = "11" if quantity == "agent_jct_s" else "10"
            for system, values in systems.items():
                for aps, value in values.items():
                    case = Case(model, "48K", DATASET, system, aps)
                    yield PaperPoint(figure, case, aps, quantity, value, online.reading_error)
