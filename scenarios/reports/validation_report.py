"""The report of a validation: JSON, table, picture, page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from scenarios.analysis.agreement import (
    JCT_MARK,
    ONLINE_MARKS,
    TTFT_MARK,
    USE_MARK,
    Comparison,
    Validation,
)
from scenarios.reports.drawing import colour
from scenarios.reports.figures import STYLE, Axes, Figure, style
from scenarios.reports.page import embedded, render
from scenarios.reports.svg import INK
from scenarios.results.readable_json import write_json


def write(validations: Sequence[Validation], out: Path) -> None:
    """Write `validation.json`, `validation.png` and `validation.html`, which needs no other
    file."""
    write_json(out / "validation.json", [_plain(v) for v in validations])
    picture = out / "validation.png"
    with style.context(STYLE):
        draw(validations).savefig(picture)
    page = render(
        "validation.html.j2",
        validations=validations,
        picture=embedded(picture),
        marks=(JCT_MARK, TTFT_MARK, USE_MARK),
        online=ONLINE_MARKS,
        columns=COLUMNS,
        cells=cells,
    )
    (out / "validation.html").write_text(page, encoding="utf-8")


def _plain(validation: Validation) -> dict[str, object]:
    """As it is written, with what follows from the figures."""
    rows = {
        system: [
            {**msgspec.structs.asdict(figure), "error": figure.error, "holds": figure.holds}
            for figure in figures
        ]
        for system, figures in validation.systems.items()
    }
    return {**msgspec.structs.asdict(validation), "systems": rows, "holds": validation.holds}


COLUMNS = ("figure", "emulated", "simulated", "from", "to", "error", "mark")


def print_table(validation: Validation) -> None:
    """The figures of one scenario on standard output."""
    for system, figures in validation.systems.items():
        table = Table(
            *COLUMNS,
            title=f"{validation.scenario}, {system} ({validation.verdicts[system]})",
        )
        for figure in figures:
            table.add_row(figure.figure, *cells(figure), style=None if figure.holds else "bold red")
        Console().print(table)


def cells(figure: Comparison) -> tuple[str, ...]:
    """What stands in `COLUMNS` after the figure's name."""
    unit = " pt" if figure.share else " %"
    shown = [
        "-" if value is None else f"{value:.1%}" if figure.share else f"{value:.4g}"
        for value in (figure.emulated, figure.simulated, *(figure.spread or (None, None)))
    ]
    error = "-" if figure.error is None else f"{100 * figure.error:+.1f}{unit}"
    mark = "-" if figure.mark is None else f"{100 * figure.mark:.0f}{unit}"
    if not figure.holds:
        mark += " missed"
    return *shown, error, mark


def draw(validations: Sequence[Validation]) -> Figure:
    """Relative errors of the times, and one engine's utilisations over the other's."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    times, uses = figure.subplots(1, 2, width_ratios=(1.4, 1))
    names = list(dict.fromkeys(name for v in validations for name in v.systems))
    colours = {name: colour(name, names) for name in names}
    _draw_times(times, validations, colours)
    _draw_uses(uses, validations, colours)
    if names:
        figure.legend(loc="outside lower center", ncols=4)
    return figure


def _draw_times(axes: Axes, validations: Sequence[Validation], colours: dict[str, str]) -> None:
    """JCT as filled, mean TTFT as open circles, a row per scenario, of online runs mean and p99
    TTFT; lines are the spread."""
    labelled = set()
    for row, validation in enumerate(validations):
        for shift, (system, figures) in enumerate(validation.systems.items()):
            for figure, filled in zip(figures[:2], (True, False), strict=True):
                if figure.error is None:
                    continue
                label = f"{system}, {figure.figure.removesuffix(', s')}"
                height = row + 0.14 * (shift - (len(validation.systems) - 1) / 2)
                if figure.spread and figure.emulated:
                    ends = [100 * (end / figure.emulated - 1) for end in figure.spread]
                    axes.plot(ends, [height] * 2, "-", color=colours[system], alpha=0.4)
                axes.plot(
                    100 * figure.error,
                    height,
                    "o",
                    color=colours[system],
                    markerfacecolor=colours[system] if filled else "white",
                    label=None if label in labelled else label,
                )
                labelled.add(label)
    for mark in (JCT_MARK, TTFT_MARK):
        for sign in (-1, 1):
            axes.axvline(sign * 100 * mark, color=INK, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(validations)), [v.scenario for v in validations])
    axes.set_ylim(len(validations) - 0.5, -0.5)
    axes.set_xlim(-max(12.0, -axes.get_xlim()[0]), max(12.0, axes.get_xlim()[1]))
    axes.set_xlabel("simulated less emulated, % of emulated")
    axes.set_title("Times: JCT (mark 5 %), mean TTFT (10 %), p99 TTFT online (20 %)")


def _draw_uses(axes: Axes, validations: Sequence[Validation], colours: dict[str, str]) -> None:
    for validation in validations:
        for system, figures in validation.systems.items():
            pairs = [
                (100 * f.emulated, 100 * f.simulated)
                for f in figures
                if f.share and f.emulated is not None and f.simulated is not None
            ]
            if pairs:
                axes.plot(*zip(*pairs, strict=True), ".", color=colours[system], alpha=0.7)
    for shift in (-100 * USE_MARK, 0.0, 100 * USE_MARK):
        axes.axline((0, shift), slope=1, color=INK, linewidth=0.8, linestyle=":" if shift else "-")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_aspect("equal")
    axes.set_xlabel("emulated, %")
    axes.set_ylabel("simulated, %")
    axes.set_title("Utilisation of every SNIC and CNIC (mark 3 points)")
