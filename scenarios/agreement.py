"""Do the two engines agree? The same figures of an emulated and a simulated run, compared."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from scenarios.metrics import Summary, SystemSummary

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
"""The compared times and their marks."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one system by both engines.

    Attributes:
        figure: what it is, with its unit.
        share: a utilisation, compared by difference; everything else by relative error.
        mark: largest tolerated error, None where the figure is only shown.
    """

    figure: str
    emulated: float | None
    simulated: float | None
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


def compare(emulated: Summary, simulated: Summary) -> dict[str, list[Comparison]]:
    """All figures of the systems that both engines served, by system."""
    return {
        system: list(_compare_system(emulated.systems[system], simulated.systems[system]))
        for system in emulated.systems
        if system in simulated.systems
    }


def _compare_system(emulated: SystemSummary, simulated: SystemSummary) -> Iterator[Comparison]:
    times, others = _times(emulated), _times(simulated)
    for figure, mark in MARKS.items():
        yield Comparison(figure=figure, emulated=times[figure], simulated=others[figure], mark=mark)
    uses, other_uses = _uses(emulated), _uses(simulated)
    for figure in dict.fromkeys([*uses, *other_uses]):
        yield Comparison(
            figure=figure,
            emulated=uses.get(figure),
            simulated=other_uses.get(figure),
            share=True,
            mark=USE_MARK,
        )


def _times(summary: SystemSummary) -> dict[str, float | None]:
    ttft, tpot = summary.ttft_s, summary.tpot_s
    values = (
        summary.jct_s,
        ttft.mean if ttft else None,
        ttft.p99 if ttft else None,
        tpot.mean if tpot else None,
    )
    return dict(zip(MARKS, values, strict=True))


def _uses(summary: SystemSummary) -> dict[str, float]:
    """SNIC reads by node, CNIC reads and writes by GPU, as shares of the rate over the run."""
    uses = {f"{node}.snic read": use.utilisation for node, use in summary.snic.items()}
    for node, gpus in summary.cnic.items():
        for gpu, use in gpus.items():
            uses[f"{node}.cnic{gpu} read"] = use.read_utilisation
            uses[f"{node}.cnic{gpu} write"] = use.write_utilisation
    return uses
