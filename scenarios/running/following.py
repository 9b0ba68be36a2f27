"""Following an emulated system while it is served: what nodes say, what the fabric counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from plan.deployment import System
from plan.errors import RunError
from plan.events import Ask, Completed, NodeEvent, Noted, Progress, Status
from plan.model import Plan
from plan.patience import standstill_s
from plan.records import BacklogSample, CounterSample, Ending
from scenarios.results.record_files import RecordFile, backlog_path, counters_path
from scenarios.running.counting import Counting
from scenarios.running.fabric import Fabric
from scenarios.running.fault_records import Told
from scenarios.running.injection import Injection
from scenarios.running.node_processes import NodeProcesses
from scenarios.running.snic_watch import SnicWatch
from scenarios.running.standstill import Pauses, Standstill
from topology import counters

POLL_S = 0.25
LOOK_S = 1.0
"""Wall seconds between two looks at queues and counters."""
LAST_SAMPLE_S = 10.0
"""Wall seconds within which the controller has to take a sample after the end."""

Watcher = Callable[[int, Mapping[str, float], float], None]
"""Told requests done, each SNIC's use since the last call (0..1) and the model time, seconds."""


class Following:
    """What is seen of a system while it is served.

    Args:
        directory: the system's own, for its counters and what waits in its queues.
        start: the run's start on CLOCK_MONOTONIC.
        idle: since when the fabric had nothing to carry before it, likewise.
        told: hears of faults and attempts, where anything is to break.

    Attributes:
        pauses: in which the fabric stood still.
    """

    def __init__(
        self,
        plan: Plan,
        system: System,
        nodes: NodeProcesses,
        fabric: Fabric,
        directory: Path,
        start: float,
        idle: float,
        watcher: Watcher,
        told: Told | None = None,
    ) -> None:
        self._plan = plan
        self._system = system.name
        self._nodes = nodes
        self._fabric = fabric
        self._start = start
        self._watcher = watcher
        self._told = told
        self._injection = None if told is None else Injection(plan, fabric, nodes, directory, told)
        self.pauses = Pauses()
        self._standstill = Standstill(
            (node.name for node in plan.fabric.nodes),
            standstill_s(plan.scale),
            plan.payload_bytes(plan.fabric.mtu),
            computing=plan.recovery is None,
        )
        self._done = 0
        self._ending: Ending | None = None
        self._snics = SnicWatch(plan)
        self._backlog_path = backlog_path(directory)
        self._counting = Counting(counters_path(directory), plan.scale.model_s(idle - start))
        fabric.telemetry.take()
        if fabric.telemetry.last is not None:
            self._counting.hold([fabric.telemetry.sample(fabric.telemetry.last, start)])

    def to_the_end(self) -> Ending | None:
        """Until the run has come to its end; None if the user broke it off.

        Raises:
            RunError: a node, the controller or a daemon failed, or the run stands still.
        """
        looked = time.monotonic()
        with RecordFile(self._backlog_path) as backlog, self._counting:
            self._look(backlog)
            try:
                while self._ending is None:
                    for event in self._nodes.events(self._patience_s()):
                        self._heed(event)
                    if self._injection is not None:
                        self._injection.look(self._now_s(), self._done)
                    self._look_for_a_pause()
                    if time.monotonic() - looked >= LOOK_S:
                        looked = time.monotonic()
                        self._look(backlog)
                        self._take()
                        self._counting.write()
            except KeyboardInterrupt:
                return None
            finally:
                if self._injection is not None:
                    self._injection.ends(self._now_s())
        return self._ending

    def _now_s(self) -> float:
        return self._plan.scale.model_s(time.monotonic() - self._start)

    def _patience_s(self) -> float:
        """Wall seconds until there is something to do, whatever nodes say."""
        if self._injection is None:
            return POLL_S
        return min(POLL_S, self._plan.scale.wall_s(self._injection.left_s(self._now_s())))

    def await_sample(self, ended: float) -> None:
        """Wait for a counter sample from after the end, `ended` on CLOCK_MONOTONIC.

        Raises:
            RunError: the controller takes none.
        """
        telemetry = self._fabric.telemetry
        deadline = time.monotonic() + LAST_SAMPLE_S
        while telemetry.last is None or telemetry.last.t <= ended:
            if time.monotonic() > deadline:
                log = self._fabric.controller.events.log
                raise RunError(f"the controller takes no more counter samples; see {log}")
            self._fabric.controller.check()
            time.sleep(0.1)  # noqa: TID251  between two looks
            self._take()

    def counters(self, end_s: float) -> list[CounterSample]:
        """Counters from the start to `end_s`, model seconds."""
        return self._counting.until(end_s)

    def _heed(self, event: NodeEvent) -> None:
        match event:
            case Completed():
                self._ending = event.ending
            case Status():
                self._standstill.heard(time.monotonic(), event)
            case Noted() if self._told is not None:
                for noted in (event.fault, event.attempt):
                    if noted is not None:
                        self._told(noted)
            case Progress():
                self._done = event.done
                self._fabric.journal.served(self._system, event.done, event.total)

    def _look(self, backlog: RecordFile) -> None:
        network = self._fabric.network
        now_s = self._now_s()
        if now_s >= 0:
            queues = counters.backlog(network, self._plan)
            backlog.append(BacklogSample(t_s=now_s, queues=queues))
            backlog.flush()
        now_s = self._now_s()
        nics = counters.egress_bytes(network, self._plan)
        self._watcher(self._done, self._snics.look(now_s, nics), now_s)
        self._look_for_a_standstill(sum(into for _, into in nics.values()))

    def _look_for_a_standstill(self, arrived_bytes: float) -> None:
        now = time.monotonic()
        self._standstill.look(now, self._done, arrived_bytes)
        if self._standstill.over(now):
            raise RunError(self._standstill.explained(self._plan.requests))
        if self._standstill.asks(now):
            self._nodes.tell(Ask())

    def _look_for_a_pause(self) -> None:
        still = self.pauses.look(time.monotonic(), counters.switch_bytes(self._plan))
        declared = self._injection is not None and self._injection.excuses(self._now_s())
        if still and not declared and counters.sockets_hold(self._fabric.network):
            self.pauses.hold()

    def _take(self) -> None:
        telemetry = self._fabric.telemetry
        self._counting.hold([telemetry.sample(line, self._start) for line in telemetry.take()])
