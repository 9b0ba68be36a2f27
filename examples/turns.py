"""A section of the report: time to first token over the turns of a conversation.

report: {sections: [../examples/turns.py:section]}
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from plan.model import Plan
from scenarios.reports.sections import Section
from scenarios.results.result import SystemResult
from scenarios.results.summary import Summary

DUALPATH_PLUGIN = 1


def section(plan: Plan, results: Sequence[SystemResult], summary: Summary) -> Section:
    """A line a system, and the figures as a table."""
    means = {result.system.name: _means(result) for result in results}
    turns = sorted({turn for by_turn in means.values() for turn in by_turn})
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for name, by_turn in means.items():
        axes.plot(list(by_turn), list(by_turn.values()), "o-", label=name)
    axes.set(xlabel="turn", ylabel="mean TTFT, s", ylim=(0, None))
    axes.legend()
    rows = [["turn", *means]]
    rows += [[str(t), *(f"{by.get(t, 0):.3f}" for by in means.values())] for t in turns]
    return Section(
        "Time to first token by turn",
        f"Of {plan.requests} requests; contexts grow from turn to turn.",
        rows,
        figure,
    )


def _means(result: SystemResult) -> dict[int, float]:
    waits: dict[int, list[float]] = defaultdict(list)
    for record in result.records:
        if record.first_s is not None:
            waits[record.turn].append(record.first_s - record.submit_s)
    return {turn: fmean(seconds) for turn, seconds in sorted(waits.items())}
