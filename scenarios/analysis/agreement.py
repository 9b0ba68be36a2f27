"""Do the two engines agree? The same figures of an emulated and of simulated runs, compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

import msgspec

from plan.names import cnic_name, engine_name, snic_end
from scenarios.results.summary import Summary, SystemSummary

JCT_MARK, TTFT_MARK = 0.05, 0.10
"""Largest tolerated relative errors."""
USE_MARK = 0.03
"""Largest tolerated difference of two utilisations."""

MARKS = {
    "JCT, s": JCT_MARK,
    "TTFT mean, s": TTFT_MARK,
    "TTFT p99, s": None,
    "TPOT mean, s": None,
}
"""The compared times and their marks, of runs that serve all of their requests."""

ONLINE_MARKS = {
    "TTFT mean, s": TTFT_MARK,
    "TTFT p99, s": 0.20,
    "TPOT mean, s": 0.05,
    "agent JCT mean, s": None,
}
"""The same of runs that end when they have seen enough: these have no JCT."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one system by both engines.

    Attributes:
        figure: what it is, with its unit.
        simulated: mean of the simulated runs; spread: the least and the most of them.
        share: a utilisation, compared by difference; everything else by relative error.
        mark: largest tolerated error, None where the figure is only shown.
    """

    figure: str
    emulated: float | None
    simulated: float | None
    spread: tuple[float, float] | None = None
    share: bool = False
    mark: float | None = None

    @property
    def error(self) -> float | None:
        """Simulated less emulated: a difference of utilisations (0..1), or a fraction of the
        emulated figure. None where an engine has no such figure."""
        if self.emulated is None or self.simulated is None:
            return None
        difference = self.simulated - self.emulated
        if self.share:
            return difference
        return difference / self.emulated if self.emulated else None

    @property
    def holds(self) -> bool:
        """Whether the error is within the mark; a figure without a mark always is."""
        if self.mark is None:
            return True
        return self.error is not None and abs(self.error) <= self.mark


def compare(emulated: Summary, simulated: Sequence[Summary]) -> dict[str, list[Comparison]]:
    """All figures of the systems that both engines served, by system.

    Args:
        simulated: one run or several that differ in the order in which messages arrive.
    """
    return {
        system: list(_compare_system(figures, [summary.systems[system] for summary in simulated]))
        for system, figures in emulated.systems.items()
        if all(system in summary.systems for summary in simulated)
    }


def _compare_system(
    emulated: SystemSummary, simulated: Sequence[SystemSummary]
) -> Iterator[Comparison]:
    times, other_times = _times(emulated), [_times(one) for one in simulated]
    marks = ONLINE_MARKS if emulated.jct_s is None else MARKS
    for figure, mark in marks.items():
        yield _comparison(figure, times[figure], [one[figure] for one in other_times], mark=mark)
    uses, other_uses = _uses(emulated), [_uses(one) for one in simulated]
    for figure in dict.fromkeys(name for one in (uses, *other_uses) for name in one):
        others = [one.get(figure) for one in other_uses]
        yield _comparison(figure, uses.get(figure), others, share=True, mark=USE_MARK)


def _comparison(
    figure: str,
    emulated: float | None,
    simulated: Sequence[float | None],
    *,
    share: bool = False,
    mark: float | None,
) -> Comparison:
    """None among the simulated figures makes their mean None: a run is missing it."""
    found = [value for value in simulated if value is not None]
    whole = len(found) == len(simulated)
    return Comparison(
        figure=figure,
        emulated=emulated,
        simulated=fmean(found) if whole else None,
        spread=(min(found), max(found)) if whole else None,
        share=share,
        mark=mark,
    )


def _times(summary: SystemSummary) -> dict[str, float | None]:
    ttft, tpot, agents = summary.ttft_s, summary.tpot_s, summary.agent_jct_s
    return {
        "JCT, s": summary.jct_s,
        "TTFT mean, s": ttft.mean if ttft else None,
        "TTFT p99, s": ttft.p99 if ttft else None,
        "TPOT mean, s": tpot.mean if tpot else None,
        "agent JCT mean, s": agents.mean if agents else None,
    }


def _uses(summary: SystemSummary) -> dict[str, float]:
    """SNIC reads by node, CNIC reads and writes by GPU, as shares of the rate over the run."""
    uses = {f"{snic_end(node)} read": use.utilisation for node, use in summary.snic.items()}
    for node, gpus in summary.cnic.items():
        for gpu, use in gpus.items():
            cnic = cnic_name(engine_name(node, int(gpu)))
            uses[f"{cnic} read"] = use.read_utilisation
            uses[f"{cnic} write"] = use.write_utilisation
    return uses


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario by both engines.

    Attributes:
        verdicts: of the emulated runs, by system (`scenarios.results.fidelity`).
        systems: figures side by side, by system.
        error: why there is nothing to compare, if a run failed.
    """

    scenario: str
    description: str
    verdicts: dict[str, str] = {}
    systems: dict[str, list[Comparison]] = {}
    error: str | None = None

    @property
    def holds(self) -> bool:
        rows = [figure for figures in self.systems.values() for figure in figures]
        return self.error is None and all(figure.holds for figure in rows)

    @property
    def believable(self) -> bool:
        return "not believable" not in self.verdicts.values()
