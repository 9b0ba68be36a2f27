"""Sections of a report that plug-ins write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from plan.errors import PluginError
from plan.model import Plan
from plan.plugins import Caller, Plugin, load
from scenarios.reports.page import embedded
from scenarios.results.result import SystemResult
from scenarios.results.summary import Summary

if TYPE_CHECKING:
    from scenarios.reports.figures import Figure


class Section(NamedTuple):
    """What a plug-in adds to a report. All text is shown as it stands, without markup.

    Attributes:
        rows: of a table, the first one its head.
        figure: a picture.
    """

    title: str
    text: str = ""
    rows: Sequence[Sequence[str]] = ()
    figure: Figure | None = None


MakeSection = Callable[[Plan, Sequence[SystemResult], Summary], Section]
"""What a plug-in is."""


@dataclass(frozen=True)
class Written:
    """A section as the page shows it: with its picture in base64, or what went wrong."""

    section: Section
    picture: str | None = None
    error: PluginError | None = None


def write(
    plots: Path,
    plugins: Mapping[str, Plugin],
    plan: Plan,
    results: Sequence[SystemResult],
    summary: Summary,
) -> list[Written]:
    """All sections, pictures in `plots/section-N.png`; one that fails takes none along.

    Args:
        plugins: by what the scenario calls them.
    """
    return [
        _written(plots / f"section-{i}.png", name, plugin, plan, results, summary)
        for i, (name, plugin) in enumerate(plugins.items(), start=1)
    ]


def _written(
    picture: Path,
    name: str,
    plugin: Plugin,
    plan: Plan,
    results: Sequence[SystemResult],
    summary: Summary,
) -> Written:
    # a third of a second that only a report with such sections takes
    from scenarios.reports.figures import STYLE, style

    call = Caller(plugin, long=True)
    try:
        make: MakeSection = load(plugin)
        with style.context(STYLE):
            section = call(make, plan, results, summary)
            if not isinstance(section, Section):
                call.refuse(make, section, "is no Section")
            if section.figure is None:
                return Written(section)
            call(section.figure.savefig, picture)
        return Written(section, embedded(picture))
    except PluginError as error:
        return Written(Section(name), error=error)
