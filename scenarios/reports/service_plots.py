"""Pictures of service and load over a run's time: a column or line for each system."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from plan.records import RequestRecord
from scenarios.reports.charts import Chart, Curve, Panel, stairs
from scenarios.reports.drawing import Run, colour
from scenarios.results import over_time
from scenarios.results.measured import Measured, measured
from scenarios.results.over_time import Bins, bins
from scenarios.results.result import SystemResult
from scenarios.results.windows import Series
from scenarios.results.working_set import agents_alive, held_bytes

QUEUE_COLOURS = {
    "waiting for engines": "#c9ced6",
    "before the first token": "#D55E00",
    "decoding": "#8c6bb1",
}

Points = Callable[[Sequence[RequestRecord]], list[tuple[float, float]]]


def service(run: Run) -> Chart | None:
    """Mean TTFT and TPOT over time."""
    seen = _seen(run)
    if not seen:
        return None
    shown: tuple[tuple[str, Points, float], ...] = (
        ("mean TTFT, s", over_time.first_tokens, 1.0),
        ("mean TPOT, ms", over_time.later_tokens, 1e3),
    )
    cut = _bins(seen)
    return _chart(
        seen,
        [
            Panel(
                label,
                [
                    _curve(run, result, cut.centres_s, unit * cut.means(points(result.records)))
                    for result, _ in seen
                ],
                marks=_marks(seen),
            )
            for label, points, unit in shown
        ],
    )


def load(run: Run) -> Chart | None:
    """Arrivals and agents alive, and requests by what they wait for."""
    seen = _seen(run)
    if not seen:
        return None
    cut = _bins(seen)
    came = [
        _curve(run, result, *stairs(cut.edges_s, cut.rates(over_time.arrivals(window))))
        for result, window in seen
    ]
    alive = [
        _curve(run, result, cut.centres_s, agents_alive(window.lives).at(cut.centres_s))
        for result, window in seen
    ]
    rows = [
        Panel(
            "requests",
            [
                Curve(kind, QUEUE_COLOURS[kind], cut.centres_s, levels.at(cut.centres_s))
                for kind, levels in over_time.queues(result.records).items()
            ],
            title=result.system.name,
            stacked=True,
            marks=_marks([(result, window)]),
        )
        for result, window in seen
    ]
    # where all begin together there is nothing to see of their coming
    coming = [Panel("agents/s", came, steps=True)] if run.plan.arrivals else []
    return _chart(seen, [*coming, Panel("agents alive", alive), *rows])


def working_set(run: Run) -> Chart | None:
    """KV-Cache of the agents alive, beside the formula."""
    seen = _seen(run)
    if not seen:
        return None
    cut = _bins(seen)
    curves = []
    for result, window in seen:
        held = held_bytes(run.plan, window.lives).at(cut.centres_s)
        curves.append(_curve(run, result, cut.centres_s, held / 1e9))
        found = run.summary.systems[result.system.name].working_set
        if found is not None and found.formula_bytes is not None:
            span, level = np.array([window.from_s, window.to_s]), found.formula_bytes / 1e9
            curves.append(_curve(run, result, span, np.full(2, level), dashed=True))
    return _chart(seen, [Panel("GB of KV-Cache", curves, marks=_marks(seen))])


def _chart(seen: Sequence[tuple[SystemResult, Measured]], panels: Sequence[Panel]) -> Chart:
    return Chart(panels, end=max(window.to_s for _, window in seen))


def _curve(run: Run, result: SystemResult, x: Series, y: Series, *, dashed: bool = False) -> Curve:
    name = result.system.name
    tint = colour(name, [one.system.name for one in run.results])
    return Curve(name, tint, x, y, dashed)


def _marks(seen: Sequence[tuple[SystemResult, Measured]]) -> list[float]:
    """Where windows begin, unless with the run."""
    return sorted({window.from_s for _, window in seen if window.from_s > 0})


def _seen(run: Run) -> list[tuple[SystemResult, Measured]]:
    """What is measured of each system that has served anything."""
    found = [(result, measured(run.plan, result)) for result in run.results]
    return [(result, window) for result, window in found if window.lives and window.to_s > 0]


def _bins(seen: Sequence[tuple[SystemResult, Measured]]) -> Bins:
    return bins(max(window.to_s for _, window in seen))
