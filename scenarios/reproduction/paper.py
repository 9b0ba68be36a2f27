"""The paper's points as data (`paper.yaml`)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec

from scenarios.configuration import yaml_dialect
from scenarios.workload.generator import MaxLen

Figure = Literal["3", "7", "8", "9", "10", "11", "12", "13", "14", "15", "table-3"]
FIGURES: tuple[Figure, ...] = get_args(Figure)
"""Whose points are run."""


class Case(NamedTuple):
    """One run: a system serves so many agents.

    Attributes:
        aps: agents that arrive a second, each one of so many; 0: all start together.
        nodes: prefill and decode nodes; None: the paper's of the model.
        append, gen: factors on what turns append and generate.
    """

    model: str
    row: MaxLen
    agents: int
    system: str
    aps: float = 0.0
    nodes: tuple[int, int] | None = None
    append: float = 1.0
    gen: float = 1.0


class PaperPoint(NamedTuple):
    """One value of a figure.

    Attributes:
        case: what has to be run for it; None: it follows from the compute model alone.
        x: where it stands on the figure's axis.
        value: in the quantity's unit, None where the paper draws it only; reading_error: as a
            share of it.
    """

    figure: Figure
    case: Case | None
    x: float
    quantity: str
    value: float | None
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


class Capacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The largest rate within an SLO, agents a second, by model and system.

    Attributes:
        slo: the most of each quantity, seconds; gain: DualPath's over Basic's.
        beyond: larger rates, of which the paper has no values.
    """

    slo: dict[str, float]
    aps: dict[str, dict[str, float]]
    gain: dict[str, float]
    beyond: dict[str, dict[str, list[float]]]


class Online(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Latencies in seconds by model, quantity, system and agents that arrive a second."""

    source: str
    reading_error: float
    capacity: Capacity
    values: dict[str, dict[str, dict[str, dict[float, float]]]]

    def rates(self, model: str, system: str) -> list[float]:
        """All at which a system is looked at: those with values, and those beyond."""
        return [*self.values[model]["ttft_s"][system], *self.capacity.beyond[model][system]]


class Ratios(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Speed-ups over Basic over all ratios of prefill to decode nodes."""

    source: str
    row: MaxLen
    agents: int
    nodes: list[tuple[int, int]]
    mean_speed_up: float
    largest_speed_up: float


class Lengths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Speed-ups over Basic over all factors on what turns append."""

    source: str
    row: MaxLen
    agents: int
    factors: list[float]
    smallest_speed_up: float
    largest_speed_up: float


class Balance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fullest over average SNIC by system; longest over average attention of a forward."""

    source: str
    reading_error: float
    row: MaxLen
    agents: int
    snic_max_over_avg: dict[str, float]
    attention_max_over_avg: float


class Table3(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By how many 2P4D a cluster has: its nodes, offline JCT (s) and agents, agents that arrive a
    second and latencies (s)."""

    source: str
    units: dict[int, tuple[int, int]]
    jct_s: dict[int, float]
    agents: dict[int, int]
    aps: dict[int, float]
    online: dict[int, dict[str, float]]


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The large run over its time, every 100 s."""

    source: str
    reading_error: float
    agents: int
    units: int
    every_s: float
    ttft_s: list[float]
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
    ratios: Ratios
    lengths: Lengths
    balance: Balance
    table_3: Table3
    scale: Scale


@cache
def paper() -> Paper:
    """What the paper measured."""
    text = Path(__file__).with_name("paper.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml_dialect.read(text), Paper)
