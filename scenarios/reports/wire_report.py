"""The part of a report that says what recorded links carried: one section for each link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scenarios.configuration.systems import title
from scenarios.reports.charts import Picture
from scenarios.reports.drawing import FAINT, INK, STYLE
from scenarios.results.result import SystemResult
from scenarios.results.wire import LinkTraffic

CLASS_COLOURS = {
    "collective": "#D55E00",
    "control": "#009E73",
    "kv": "#0072B2",
    "storage": "#E69F00",
    "copy": "#56B4E9",
    "unmarked": "#CC79A7",
}
CLASS_HEADS = (
    *("direction", "DSCP", "class", "lane", "frames", "GB", "of direction"),
    *("first, s", "last, s", "sent again"),
)
LANE_HEADS = ("direction", "lane", "captured, GB", "its queue counted, GB", "difference")


@dataclass(frozen=True)
class WireTables:
    """A link under one system: a sentence and two tables of text."""

    system: str
    summary: str
    classes: list[list[str]]
    lanes: list[list[str]]


@dataclass(frozen=True)
class WireSection:
    """A link under all systems."""

    link: str
    picture: Picture
    tables: list[WireTables]


def sections(out_dir: Path, results: Sequence[SystemResult]) -> list[WireSection]:
    """One for each recorded link, its picture being written into `out_dir`."""
    by_link: dict[str, dict[str, LinkTraffic]] = {}
    for result in results:
        for traffic in result.captures:
            by_link.setdefault(traffic.link, {})[result.system.name] = traffic
    return [
        WireSection(link, _picture(out_dir, link, by_system), list(_tables(by_system)))
        for link, by_system in by_link.items()
    ]


def _tables(by_system: Mapping[str, LinkTraffic]) -> Iterator[WireTables]:
    for system, traffic in by_system.items():
        yield WireTables(
            system=title(system),
            summary=_summary(traffic),
            classes=[
                [
                    *(row.direction, "-" if row.dscp is None else str(row.dscp), row.traffic),
                    *(row.lane, f"{row.frames:,}", f"{row.bytes / 1e9:.4g}", f"{row.share:.1%}"),
                    *(f"{row.first_s:.2f}", f"{row.last_s:.2f}", f"{row.sent_again:,}"),
                ]
                for row in traffic.classes
            ],
            lanes=[
                [
                    *(row.direction, row.lane, f"{row.captured_bytes / 1e9:.4g}"),
                    f"{row.queue_bytes / 1e9:.4g}",
                    "-" if row.error is None else f"{row.error:+.2%}",
                ]
                for row in traffic.lanes
                if row.captured_bytes or row.queue_bytes
            ],
        )


def _summary(traffic: LinkTraffic) -> str:
    said = f"{traffic.frames:,} frames recorded"
    if traffic.full:
        said += ", where the capture ended at its limit; queues counted on"
    if traffic.dropped:
        said += f"; {traffic.dropped:,} more passed unrecorded, the kernel had no room for them"
    return f"{said}."


def _picture(out_dir: Path, link: str, by_system: Mapping[str, LinkTraffic]) -> Picture:
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / f"wire-{link}.png"
    with style.context(STYLE):
        _draw(by_system).savefig(path)
    caption = (
        "Rate of each traffic class in both directions, from the DSCPs of the frames that passed."
    )
    return Picture(path, f"On the wire: {link}", caption)


def _draw(by_system: Mapping[str, LinkTraffic]) -> Figure:
    figure = Figure(figsize=(9, 0.9 + 1.7 * len(by_system)), layout="constrained")
    grid = figure.subplots(len(by_system), 2, sharex=True, sharey=True, squeeze=False)
    for row, (system, traffic) in zip(grid, by_system.items(), strict=True):
        directions = list(dict.fromkeys(lane.direction for lane in traffic.lanes))
        for axes, direction in zip(row, directions, strict=True):
            _panel(axes, traffic, direction)
            axes.set_title(f"{system} · {direction}")
        row[0].set_ylabel("Gbit/s")
    for axes in grid[-1]:
        axes.set_xlabel("model seconds")
    grid[0][0].set_xlim(0, max(traffic.edges_s[-1] for traffic in by_system.values()))
    grid[0][0].set_ylim(0, None)
    shown = {
        label: patch
        for axes in grid.flat
        for patch, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(shown.values()), list(shown), loc="outside upper right", ncols=6)
    return figure


def _panel(axes: Axes, traffic: LinkTraffic, direction: str) -> None:
    below = np.zeros(len(traffic.edges_s) - 1)
    for series in traffic.rates:
        if series.direction == direction:
            top = below + np.array(series.rates_bps) / 1e9
            name, _, bare = series.traffic.partition(", ")
            axes.stairs(
                top,
                traffic.edges_s,
                baseline=below,
                fill=True,
                color=INK if bare else CLASS_COLOURS.get(name, FAINT),
                label=bare or name,
            )
            below = top
