"""The part of a report that says what recorded links carried: one section for each link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scenarios.configuration.systems import title
from scenarios.reports.charts import Chart, Curve, Panel, stairs
from scenarios.reports.drawing import Picture
from scenarios.reports.svg import FAINT, INK
from scenarios.results.result import SystemResult
from scenarios.results.windows import Series
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
    path = out_dir / f"wire-{link}.svg"
    rates(by_system).drawn().save(path)
    caption = (
        "Rate of each traffic class in both directions, from the DSCPs of the frames that passed."
    )
    return Picture(path, f"On the wire: {link}", caption)


def rates(by_system: Mapping[str, LinkTraffic]) -> Chart:
    """Rates of the traffic classes over time: a row per system, a column per direction."""
    panels = [
        _panel(traffic, direction, f"{system} · {direction}")
        for system, traffic in by_system.items()
        for direction in dict.fromkeys(lane.direction for lane in traffic.lanes)
    ]
    top = max((float(_sum(panel).max(initial=0.0)) for panel in panels), default=0.0)
    return Chart(
        [replace(panel, top=1.05 * top) for panel in panels],
        columns=len(panels) // len(by_system),
        end=max(traffic.edges_s[-1] for traffic in by_system.values()),
    )


def _sum(panel: Panel) -> Series:
    total: Series = np.sum([curve.y for curve in panel.curves], axis=0)
    return total


def _panel(traffic: LinkTraffic, direction: str, title: str) -> Panel:
    curves = []
    for series in traffic.rates:
        if series.direction == direction:
            name, _, bare = series.traffic.partition(", ")
            tint = INK if bare else CLASS_COLOURS.get(name, FAINT)
            steps = stairs(np.array(traffic.edges_s), np.array(series.rates_bps) / 1e9)
            curves.append(Curve(bare or name, tint, *steps))
    return Panel("Gbit/s", curves, title=title, stacked=True, steps=True)
