"""Runs side by side: tables on standard output, a page, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from scenarios.analysis.differences import MAIN, Figure, Setting
from scenarios.configuration.systems import title
from scenarios.reports.drawing import colour
from scenarios.reports.figures import STYLE, style
from scenarios.reports.figures import Figure as Drawing
from scenarios.reports.page import ABSENT, embedded, render
from scenarios.results.readable_json import write_json

DRAWN = {"jct_s": "JCT, s", "ttft_s.mean": "mean TTFT, s"}
_LONGEST = 60
"""Characters of a setting that a table shows."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Runs by their labels, and what differs; figures by system."""

    runs: tuple[str, ...]
    settings: list[Setting]
    figures: dict[str, list[Figure]]


def print_tables(comparison: Comparison) -> None:
    """Settings that differ, and the main figures of every system."""
    console = Console()
    if not comparison.settings:
        console.print("All settings are the same.")
    else:
        table = Table("setting", *_columns(comparison), title="Settings that differ")
        for setting in comparison.settings:
            table.add_row(setting.key, *(Text(shown(value)) for value in setting.values))
        console.print(table)
    for system, figures in comparison.figures.items():
        table = Table("figure", *_columns(comparison), title=Text(title(system)))
        for figure in main_figures(figures):
            table.add_row(figure.name, *(Text(cell) for cell in cells(figure)))
        console.print(table)


def _columns(comparison: Comparison) -> list[Column]:
    return [Column(Text(run)) for run in comparison.runs]


def write(comparison: Comparison, out: Path) -> None:
    """Write `comparison.json`, `comparison.png` and `comparison.html`, which needs no other
    file."""
    write_json(out / "comparison.json", comparison)
    picture = out / "comparison.png"
    with style.context(STYLE):
        draw(comparison).savefig(picture)
    page = render(
        "comparison.html.j2",
        runs=comparison.runs,
        settings=comparison.settings,
        systems={title(name): figures for name, figures in comparison.figures.items()},
        main=main_figures,
        others=other_figures,
        shown=shown,
        cells=cells,
        picture=embedded(picture),
    )
    (out / "comparison.html").write_text(page, encoding="utf-8")


def main_figures(figures: Sequence[Figure]) -> list[Figure]:
    """Those that are always told, if a run has them."""
    return [f for f in figures if f.name in MAIN and any(v is not None for v in f.values)]


def other_figures(figures: Sequence[Figure]) -> list[Figure]:
    """All others that differ."""
    return [figure for figure in figures if figure.name not in MAIN and figure.differs]


def shown(value: object) -> str:
    """A setting as a scenario would write it, cut where it is long."""
    text = ABSENT if value is None else value if isinstance(value, str) else _json(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def cells(figure: Figure) -> list[str]:
    """A figure of each run, with how much more it is than the first one's."""
    return [
        _cell(value, change if i else None)
        for i, (value, change) in enumerate(zip(figure.values, figure.changes, strict=True))
    ]


def _cell(value: object, change: float | None) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else shown(value)
    return text if change is None else f"{text} ({change:+.1%})"


def draw(comparison: Comparison) -> Drawing:
    """A group of bars for each run, a bar for each system: JCT, and mean TTFT."""
    names = list(comparison.figures)
    drawing = Drawing(figsize=(11, 1.2 + 0.25 * len(names) * len(comparison.runs)))
    drawing.set_layout_engine("constrained")
    for axes, (key, label) in zip(drawing.subplots(1, 2, sharey=True), DRAWN.items(), strict=True):
        for i, name in enumerate(names):
            values = _values(comparison.figures[name], key)
            height = 0.8 / len(names)
            places = [run + (i - (len(names) - 1) / 2) * height for run in range(len(values))]
            lengths = [value if isinstance(value, float) else 0.0 for value in values]
            axes.barh(places, lengths, height, color=colour(name, names), label=title(name))
        axes.set(xlabel=label, yticks=range(len(comparison.runs)))
        axes.set_yticklabels(comparison.runs)
        axes.grid(visible=False, axis="y")
    drawing.axes[0].invert_yaxis()
    drawing.legend(
        *drawing.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4
    )
    return drawing


def _values(figures: Sequence[Figure], key: str) -> Sequence[object]:
    by_name: Mapping[str, Figure] = {figure.name: figure for figure in figures}
    return by_name[key].values
