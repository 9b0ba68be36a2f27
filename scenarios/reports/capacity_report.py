"""The report of a search for capacities: `capacity.json`, pictures over APS, one HTML page."""

from __future__ import annotations

from pathlib import Path

from scenarios.analysis.capacity import Capacities, Point, SystemCapacity, directory
from scenarios.configuration.schema import Scenario
from scenarios.configuration.systems import BASELINE, title
from scenarios.reports.capacity_plots import draw
from scenarios.reports.page import ABSENT, embedded, number, render
from scenarios.results.readable_json import write_json

TEMPLATE = "capacity.html.j2"
COLUMNS = ("agents/s", "SLO", "TTFT, s", "TTST, ms", "TPOT, ms", "agent JCT, s", "working set, GB")


def write_capacities(out: Path, scenario: Scenario, found: Capacities) -> None:
    """Write `capacity.json`, `plots/*.png` and `capacity.html`, which needs no other file.

    Args:
        out: the search's directory, which holds the points' runs.
    """
    write_json(out / "capacity.json", found)
    pictures = draw(out / "plots", found, scenario.slo)
    page = render(
        TEMPLATE,
        scenario=scenario,
        headline=headline(found),
        systems={title(name): (name, one) for name, one in found.systems.items()},
        gains={title(name): gain for name, gain in found.gain_over_basic.items()},
        baseline=title(BASELINE),
        pictures=[(picture, embedded(picture.path)) for picture in pictures],
        columns=COLUMNS,
        cells=cells,
        directory=directory,
        between=between,
    )
    (out / "capacity.html").write_text(page, encoding="utf-8")


def headline(found: Capacities) -> str:
    """What the search says, in a sentence."""
    said = []
    for name, one in found.systems.items():
        if one.capacity_aps is None:
            said.append(f"{title(name)} keeps the SLO at no rate that was tried")
            continue
        text = f"{title(name)} keeps the SLO up to {one.capacity_aps:.3g} agents a second"
        gain = found.gain_over_basic.get(name)
        if gain is not None and name != BASELINE:
            text += f", {gain:.2f}x {title(BASELINE)}"
        said.append(text)
    text = "; ".join(said) or "Nothing has run"
    return f"{text[0].upper()}{text[1:]}."


def between(one: SystemCapacity) -> str:
    """Where a capacity lies."""
    kept = "no rate tried" if one.capacity_aps is None else f"{one.capacity_aps:.4g}"
    missed = "none missed" if one.missed_aps is None else f"missed at {one.missed_aps:.4g}"
    if one.undecided_aps is not None:
        missed = f"undecided at {one.undecided_aps:.4g}, {missed}"
    return f"{kept} ({missed})"


def cells(point: Point) -> tuple[str, ...]:
    """What stands in `COLUMNS`."""
    return (
        number(point.aps),
        point.said or ABSENT,
        number(point.ttft_s),
        number(_times(point.ttst_s, 1e3)),
        number(_times(point.tpot_s, 1e3)),
        number(point.agent_jct_s),
        f"{number(_times(point.working_set_bytes, 1e-9))} "
        f"({number(_times(point.working_set_formula_bytes, 1e-9))})",
    )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value
