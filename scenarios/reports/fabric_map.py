"""The fabric as the page draws it: a fat-tree of each plane, and the load of all its links.

Nodes stand in a row. The storage plane rises above them, the compute plane below.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from plan.fabric import Fabric, NodeKind, Switch
from plan.names import direction, into, out_of
from plan.records import BacklogSample
from scenarios.reports.congestion_plots import LEVELS, fabric_rows, uses
from scenarios.reports.drawing import Run
from scenarios.reports.interactive import in_bytes, rounded
from scenarios.results.windows import Series

CELLS = 150_000
"""Loads of a system at most, rows x moments."""
MOMENTS = 240
KINDS: tuple[NodeKind, ...] = ("storage", "prefill", "decode")


def fabric_map(run: Run) -> dict[str, Any] | None:
    """Nodes, switches and lines with their places, and of every system the loads over time.

    A line is a link or a NIC, its `out` and `in` rows of the loads. Loads are bytes, 255 the
    nominal rate.
    """
    if not run.cuts:
        return None
    fabric = run.plan.fabric
    rows = [name for names in fabric_rows(fabric).values() for name in names]
    return {
        "nodes": _nodes(fabric),
        "switches": _switches(fabric),
        "lines": _lines(fabric, {name: place for place, name in enumerate(rows)}),
        "rows": rows,
        "loads": {
            system: _loads(cut.edges_s, np.stack(uses(fabric, cut, rows)))
            for system, cut in run.cuts.items()
        },
        "queues": {result.system.name: _queues(result.backlog) for result in run.results},
    }


def _loads(edges_s: Series, use: Series) -> dict[str, Any]:
    """Loads in moments of equal length: means of the windows in each."""
    most = max(1, min(MOMENTS, CELLS // len(use)))
    limits = np.unique(np.linspace(0, use.shape[1], most + 1).astype(int))
    means = np.stack([use[:, a:b].mean(axis=1) for a, b in pairwise(limits.tolist())])
    return {"t": rounded(edges_s[limits[:-1]], 6), "use": in_bytes(means, 1.0)}


def _queues(backlog: Sequence[BacklogSample]) -> dict[str, Any]:
    """What waits at each egress, by lane, as bytes of the longest queue."""
    if len(backlog) < 2:
        return {}
    kept = np.unique(np.linspace(0, len(backlog) - 1, MOMENTS).astype(int))
    seen = [backlog[place] for place in kept]
    waiting: dict[str, dict[str, Series]] = {}
    for place, sample in enumerate(seen):
        for egress, lanes in sample.queues.items():
            for lane, held in lanes.items():
                series = waiting.setdefault(egress, {}).setdefault(lane, np.zeros(len(seen)))
                series[place] = held
    longest = max((s.max() for lanes in waiting.values() for s in lanes.values()), default=0.0)
    return {
        "t": rounded(np.array([sample.t_s for sample in seen]), 6),
        "longest": float(longest),
        "waiting": {
            egress: {lane: in_bytes(series, longest) for lane, series in lanes.items()}
            for egress, lanes in waiting.items()
        },
    }


def _nodes(fabric: Fabric) -> list[dict[str, Any]]:
    nodes = [node for kind in KINDS for node in fabric.nodes_of(kind)]
    widths = [max(1, node.gpus) for node in nodes]
    starts = np.concatenate([[0], np.cumsum([width + 1 for width in widths])])
    total = float(starts[-1] - 1)
    return [
        {
            "name": node.name,
            "kind": node.kind,
            "x": round(float(start) / total, 5),
            "width": round(width / total, 5),
        }
        for node, start, width in zip(nodes, starts, widths, strict=False)
    ]


def _switches(fabric: Fabric) -> list[dict[str, Any]]:
    """Switches with x from 0 to 1 and how many levels they stand from the nodes, up positive."""
    found = []
    for plane, sign in (("storage", 1), ("compute", -1)):
        for height, level in enumerate(LEVELS, start=1):
            here = [s for s in fabric.switches if s.plane == plane and s.level == level]
            found += [
                {"name": switch.name, "x": _middle(place, here), "level": sign * height}
                for place, switch in enumerate(here)
            ]
    return found


def _middle(place: int, among: Sequence[Switch]) -> float:
    return round((place + 0.5) / len(among), 5)


def _lines(fabric: Fabric, rows: dict[str, int]) -> list[dict[str, Any]]:
    links = [
        {
            "a": link.a,
            "b": link.b,
            "rate": link.rate_bps,
            "rows": [rows[direction(link.a, link.b)], rows[direction(link.b, link.a)]],
        }
        for link in fabric.links
        if link.plane != "management"
    ]
    nics = [
        {
            "a": nic.node,
            "b": nic.switch,
            "nic": nic.name,
            "gpu": nic.gpu,
            "rate": nic.rate_bps,
            "rows": [rows[out_of(nic.name)], rows[into(nic.name)]],
        }
        for nic in fabric.nics
        if nic.kind in ("snic", "cnic")
    ]
    return links + nics
