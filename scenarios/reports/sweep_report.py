"""The report of a sweep: `sweep.json`, pictures over the swept axis, one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from scenarios.analysis.knees import Knee, knees
from scenarios.analysis.sweep_figures import (
    CNIC_DIRECTIONS,
    DE_SNIC,
    DRAMS,
    PE_SNIC,
    PointFigures,
    Sweep,
    SystemFigures,
)
from scenarios.configuration.systems import BASELINE, PROPOSED, title
from scenarios.planning.points import Point
from scenarios.reports.page import ABSENT, number, render
from scenarios.reports.sweep_plots import draw
from scenarios.results.readable_json import write_json

TEMPLATE = "sweep.html.j2"


def write_sweep(out: Path, sweep: Sweep, points: Sequence[Point]) -> None:
    """Write `sweep.json`, `plots/*.png` and `sweep.html`.

    Args:
        out: the sweep's directory, which holds the points' runs.
    """
    ends = knees(sweep, points)
    write_json(out / "sweep.json", _plain(sweep, ends))
    page = render(
        TEMPLATE,
        sweep=sweep,
        knees=ends,
        headline=headline(sweep, ends),
        pictures=draw(out / "plots", sweep, points),
        columns=(*CNIC_DIRECTIONS, *DRAMS, PE_SNIC, DE_SNIC),
        speedups={title(name): gained for name, gained in sweep.mean_speedup.items()},
        baseline=title(BASELINE),
        number=number,
        percent=_percent,
        compared=_compared,
    )
    (out / "sweep.html").write_text(page, encoding="utf-8")


def headline(sweep: Sweep, ends: Sequence[Knee]) -> str:
    """What the sweep says, in a sentence or two."""
    said = []
    for name, gained in sweep.mean_speedup.items():
        count = sum(
            1 for p in sweep.points if name in p.systems and p.systems[name].speedup is not None
        )
        if name == PROPOSED:
            said.append(
                f"{title(name)} was {gained:.2f}x faster than {title(BASELINE)} (mean of {count})"
            )
    if sweep.worst_load_error is not None:
        said.append(
            "with all storage NICs full inside the bottleneck-free band, every CNIC load of "
            f"{title(PROPOSED)} was within {100 * sweep.worst_load_error:.1f} % of theory"
        )
    if ends:
        worst = max(abs(knee.error) for knee in ends)
        said.append(
            f"the ends of that band, {len(ends)} of them, were within {100 * worst:.1f} % of theory"
        )
    if sweep.pairs:
        worst = max(abs(pair.difference) for pair in sweep.pairs)
        said.append(
            f"runs with the same storage bandwidth to use ended within {100 * worst:.1f} % of "
            "each other"
        )
    text = "; ".join(said) or f"{len(sweep.points)} points"
    return f"{text[0].upper()}{text[1:]}."


def _plain(sweep: Sweep, ends: Sequence[Knee]) -> dict[str, Any]:
    """As it is written, with what follows from the figures."""
    data: dict[str, Any] = msgspec.to_builtins(sweep)
    data["knees"] = [{**msgspec.structs.asdict(knee), "error": knee.error} for knee in ends]
    for point, plain in zip(sweep.points, data["points"], strict=True):
        for name, figures in point.systems.items():
            for kind in ("loads", "snics"):
                for resource, one in getattr(figures, kind).items():
                    plain["systems"][name][kind][resource]["ratio"] = one.ratio
    return data


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:+.1f} %"


def _compared(point: PointFigures, figures: SystemFigures, resource: str) -> tuple[str, str, str]:
    """Measured, theory, and how far off, of a load or an SNIC's use (1 is full)."""
    one = figures.loads.get(resource) or figures.snics.get(resource)
    if one is None:
        return ABSENT, ABSENT, ""
    off = _percent(one.ratio - 1) if one.ratio is not None and point.place != "outside" else ""
    return f"{one.measured:.3f}", ABSENT if one.theory is None else f"{one.theory:.3f}", off


# pictures
