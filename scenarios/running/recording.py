"""Recording a link while a system is served, and what its queues count meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from plan.lanes import Egress, Filter
from plan.model import Plan
from scenarios.results.frames import read_frames
from scenarios.results.readable_json import write_json
from scenarios.results.taps import Tap
from scenarios.results.wire import LinkTraffic, describe
from topology import counters
from topology.capture import Capture, capturing
from topology.network import Network


class Recording:
    """A capture of a link with its queues' counters at both ends of the time."""

    def __init__(self, network: Network, plan: Plan, tap: Tap, capture: Capture) -> None:
        self._network, self._plan, self._tap = network, plan, tap
        self._capture = capture
        self._before = self._queues()
        self._after = self._before

    def _queues(self) -> list[dict[str, int]]:
        return [
            counters.egress_lanes(self._network, self._plan, egress)
            for egress in self._tap.egresses
        ]

    def _rules(self, egress: Egress) -> Sequence[Filter]:
        rules = self._plan.lanes.filters
        if egress.host is not None or self._network.daemons.datapath == "netdev":
            return rules
        # the kernel datapath's queue action overrides filters, and knows DSCPs alone
        return [rule for rule in rules if not rule.mask & 0xFFFF]

    def end(self) -> None:
        """Read the counters again; nothing should be under way."""
        self._after = self._queues()

    def traffic(self, start: float) -> LinkTraffic:
        """What was recorded, also written beside the capture as JSON.

        Args:
            start: the run's start on CLOCK_MONOTONIC.
        """
        queues = [
            {lane: sent - before[lane] for lane, sent in after.items()}
            for before, after in zip(self._before, self._after, strict=True)
        ]
        found = describe(
            self._plan,
            self._tap,
            read_frames(self._capture.path, self._tap.side),
            [self._rules(egress) for egress in self._tap.egresses],
            queues,
            start + time.time() - time.monotonic(),
            dropped=self._capture.dropped,
            full=self._capture.full,
        )
        write_json(self._capture.path.with_suffix(".json"), found)
        return found


@contextmanager
def recording(network: Network, plan: Plan, tap: Tap, directory: Path) -> Iterator[Recording]:
    """Record a link to `directory/LINK.pcap` until the block ends.

    Raises:
        RunError: it can't be recorded.
    """
    with capturing(tap.device, directory / f"{tap.link}.pcap") as capture:
        running = Recording(network, plan, tap, capture)
        yield running
        running.end()
