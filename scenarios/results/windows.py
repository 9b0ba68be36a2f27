"""Rates over time from cumulative counters, in windows of equal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plan.fabric import Fabric
from plan.records import CounterSample

Series = NDArray[np.float64]

WINDOW_S = 1.0
"""Length of a window, model seconds; a run whose counters are read less often than that
gets windows as long as the time between two readings."""


@dataclass(frozen=True)
class Windows:
    """Mean rates in each of n windows, model bit/s of payload.

    Attributes:
        edges_s: the n + 1 limits of the windows, model seconds.
        read, written: by NIC. For an SNIC, read is into the node; for a CNIC, read is out of
            the node (of its memory), as paper section 2 counts.
        links: by direction, `a→b`; links of the management plane are left out.
        lanes: by lane, summed over every egress, so that a byte counts at each hop.
    """

    edges_s: Series
    read: dict[str, Series]
    written: dict[str, Series]
    links: dict[str, Series]
    lanes: dict[str, Series]

    @property
    def centres_s(self) -> Series:
        """Middle of each window, model seconds."""
        return (self.edges_s[:-1] + self.edges_s[1:]) / 2


def cut(samples: Sequence[CounterSample], fabric: Fabric, end_s: float) -> Windows | None:
    """Cut a run into windows, from the first reading up to `end_s` (model seconds).

    Returns None where there are not two readings, or not one whole window.
    """
    if len(samples) < 2:
        return None
    times = np.array([sample.t_s for sample in samples])
    length = max(WINDOW_S, float(np.median(np.diff(times))))
    count = int((min(end_s, times[-1]) - times[0] + 1e-9) / length)
    if count < 1:
        return None
    edges = times[0] + length * np.arange(count + 1)

    def rate(cumulative: list[float]) -> Series:
        bits: Series = np.diff(np.interp(edges, times, cumulative)) * 8
        return bits / length

    def nic_rates(snic_way: int) -> dict[str, Series]:
        ways = {n.name: snic_way if n.kind == "snic" else 1 - snic_way for n in fabric.nics}
        return {name: rate([s.nics[name][way] for s in samples]) for name, way in ways.items()}

    return Windows(
        edges_s=edges,
        read=nic_rates(1),
        written=nic_rates(0),
        links={
            direction: rate([s.links[link.name][way] for s in samples])
            for link in fabric.links
            if link.plane != "management"
            for way, direction in enumerate(link.directions)
        },
        lanes={name: rate([s.lanes[name][0] for s in samples]) for name in samples[0].lanes},
    )
