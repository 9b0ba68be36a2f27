"""Pictures of service and load over a run's time: a column or line for each system."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plan.records import RequestRecord
from scenarios.reports.drawing import INK, Run, colour, legend
from scenarios.results import over_time
from scenarios.results.measured import Measured, measured
from scenarios.results.over_time import Bins, bins
from scenarios.results.result import SystemResult
from scenarios.results.working_set import agents_alive, held_bytes

QUEUE_COLOURS = {
    "waiting for engines": "#c9ced6",
    "before the first token": "#D55E00",
    "decoding": "#0072B2",
}

Points = Callable[[Sequence[RequestRecord]], list[tuple[float, float]]]


def service(run: Run) -> Figure | None:
    """Mean TTFT and TPOT over time."""
    seen = _seen(run)
    if not seen:
        return None
    figure, (first, later) = _rows(seen, 2, 4.4)
    shown: tuple[tuple[Axes, Points, float], ...] = (
        (first, over_time.first_tokens, 1.0),
        (later, over_time.later_tokens, 1e3),
    )
    cut = _bins(seen)
    for result, window in seen:
        name = result.system.name
        for axes, points, unit in shown:
            means = unit * cut.means(points(result.records))
            axes.plot(cut.centres_s, means, color=_colour(run, name), lw=1.3, label=name)
            _mark(axes, window)
    first.set_ylabel("mean TTFT, s")
    later.set_ylabel("mean TPOT, ms")
    legend(first, later)
    return _from_zero(figure)


def load(run: Run) -> Figure | None:
    """Arrivals and agents alive, and requests by what they wait for."""
    seen = _seen(run)
    if not seen:
        return None
    figure, (came, alive, *rows) = _rows(seen, 2 + len(seen), 2.6 + 1.5 * len(seen))
    cut = _bins(seen)
    for (result, window), axes in zip(seen, rows, strict=True):
        name = result.system.name
        tint = _colour(run, name)
        came.stairs(cut.rates(over_time.arrivals(window)), cut.edges_s, color=tint, label=name)
        agents = agents_alive(window.lives).at(cut.centres_s)
        alive.plot(cut.centres_s, agents, color=tint, lw=1.3, label=name)
        waiting = over_time.queues(result.records)
        axes.stackplot(
            cut.centres_s,
            [levels.at(cut.centres_s) for levels in waiting.values()],
            colors=[QUEUE_COLOURS[kind] for kind in waiting],
            labels=list(waiting),
            lw=0,
        )
        axes.set_title(name)
        axes.set_ylabel("requests")
        _mark(axes, window)
    came.set_ylabel("agents/s")
    alive.set_ylabel("agents alive")
    legend(came, alive)
    legend(rows[0])
    return _from_zero(figure)


def working_set(run: Run) -> Figure | None:
    """KV-Cache of the agents alive, beside the formula."""
    seen = _seen(run)
    if not seen:
        return None
    figure, [axes] = _rows(seen, 1, 2.9)
    cut = _bins(seen)
    for result, window in seen:
        name = result.system.name
        held = held_bytes(run.plan, window.lives).at(cut.centres_s)
        axes.plot(cut.centres_s, held / 1e9, color=_colour(run, name), lw=1.3, label=name)
        found = run.summary.systems[name].working_set
        if found is not None and found.formula_bytes is not None:
            axes.plot(
                (window.from_s, window.to_s),
                [found.formula_bytes / 1e9] * 2,
                color=_colour(run, name),
                lw=1.2,
                ls=(0, (4, 3)),
            )
        _mark(axes, window)
    axes.set_ylabel("GB of KV-Cache")
    legend(axes)
    return _from_zero(figure)


def _seen(run: Run) -> list[tuple[SystemResult, Measured]]:
    """What is measured of each system that has served anything."""
    found = [(result, measured(run.plan, result)) for result in run.results]
    return [(result, window) for result, window in found if window.lives and window.to_s > 0]


def _bins(seen: Sequence[tuple[SystemResult, Measured]]) -> Bins:
    return bins(max(window.to_s for _, window in seen))


def _rows(
    seen: Sequence[tuple[SystemResult, Measured]], count: int, height: float
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(9, height), layout="constrained")
    rows = list(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0])
    rows[0].set_xlim(0, max(window.to_s for _, window in seen))
    rows[-1].set_xlabel("model seconds")
    return figure, rows


def _from_zero(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.set_ylim(bottom=0)
    return figure


def _mark(axes: Axes, window: Measured) -> None:
    """Where the window begins, unless with the run."""
    if window.from_s > 0:
        axes.axvline(window.from_s, color=INK, lw=0.7, ls=":")


def _colour(run: Run, name: str) -> str:
    return colour(name, [result.system.name for result in run.results])
