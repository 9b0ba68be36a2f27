"""What pictures have in common: what they are drawn from, and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plan.fabric import Nic, Side
from plan.model import Plan
from scenarios.configuration.systems import BUILT_IN
from scenarios.reports.charts import Chart
from scenarios.reports.svg import FAINT, Drawing
from scenarios.results.result import SystemResult
from scenarios.results.summary import Summary
from scenarios.results.windows import Windows

PREFILL, DECODE = "#0072B2", "#D55E00"


OTHER_COLOURS = ("#D55E00", "#8a6d3b", "#4b4b9f", "#882255")
"""For systems that a scenario describes itself."""


LANE_COLOURS = {
    "collective": "#D55E00",
    "control": "#009E73",
    "kv": "#0072B2",
    "spare": "#CC79A7",
}


MESSAGES = 0.01
"""Of what the busiest system moved, what others may have sent in messages alone."""


PART_COLOURS = (FAINT, "#E69F00", "#D55E00", "#0072B2")
"""Of the parts of TTFT, in their order."""


CnicTheory = Mapping[Side, tuple[float, float]]
"""Predicted CNIC (read, write) utilisation on each side with all SNICs full (paper section 2)."""


@dataclass(frozen=True)
class Picture:
    """A file and the words that go with it.

    Attributes:
        chart: what it is of, which the page draws itself; else `narrow` is the same for narrow
            pages.
    """

    path: Path
    title: str
    caption: str
    chart: Chart | None = None
    narrow: Drawing | None = None


@dataclass(frozen=True)
class Run:
    """What the pictures are drawn from; `cuts` are the windows of systems that have any."""

    plan: Plan
    results: Sequence[SystemResult]
    summary: Summary
    cuts: Mapping[str, Windows]
    theory: CnicTheory | None = None

    @property
    def end_s(self) -> float:
        """The longest system's end, model seconds: the same time axis for all."""
        return max((float(cut.edges_s[-1]) for cut in self.cuts.values()), default=1.0)

    def moving(self) -> dict[str, Windows]:
        """The windows of systems that moved more over the fabric than messages."""
        bits = {
            name: sum(float(series @ np.diff(cut.edges_s)) for series in cut.lanes.values())
            for name, cut in self.cuts.items()
        }
        least = MESSAGES * max(bits.values(), default=0.0)
        return {name: cut for name, cut in self.cuts.items() if bits[name] >= least}

    @property
    def snics(self) -> list[Nic]:
        """SNICs of prefill and decode nodes."""
        return self.plan.fabric.engine_snics

    def side(self, node: str) -> Side:
        """The side of a prefill or decode node."""
        return self.plan.fabric.side_of(node)


def colour(system: str, among: Sequence[str]) -> str:
    """The colour of a system in every picture."""
    if system in BUILT_IN:
        return BUILT_IN[system].colour
    others = [name for name in among if name not in BUILT_IN]
    return OTHER_COLOURS[others.index(system) % len(OTHER_COLOURS)]
