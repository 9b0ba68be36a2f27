"""Counters of the fabric over time: sampled as JSON lines, read back as model quantities.

A line is one sampling round over all switches, in raw wire bytes:
`{"t": s, "ports": {"<switch>:<port>": [rx_bytes, tx_bytes, rx_dropped, tx_dropped]},
"queues": {"<switch>:<port>": {"<vl>": [tx_bytes, tx_errors]}}}`, where `t` is CLOCK_MONOTONIC
when the round's last reply was received.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import msgspec

from plan.model import Plan
from plan.records import CounterSample

RX_BYTES, TX_BYTES = 0, 1
UNSUPPORTED = 2**64 - 1


class Line(msgspec.Struct, kw_only=True):
    """One sampling round, raw; see the module's description."""

    t: float
    ports: dict[str, tuple[int, int, int, int]] = {}
    queues: dict[str, dict[str, tuple[int, int]]] = {}


class Round:
    """Gathers the replies of one sampling round.

    A round is done when every switch has answered both requests; a reply may come in parts.
    """

    def __init__(self, switches: Iterable[str]) -> None:
        self._missing = {(switch, kind) for switch in switches for kind in ("ports", "queues")}
        self._line = Line(t=0.0)

    def ports(
        self, switch: str, rows: Iterable[tuple[int, tuple[int, int, int, int]]], *, last: bool
    ) -> None:
        """Add port counters: (port number, (rx_bytes, tx_bytes, rx_dropped, tx_dropped))."""
        self._line.ports.update((_key(switch, port), counters) for port, counters in rows)
        if last:
            self._missing.discard((switch, "ports"))

    def queues(
        self, switch: str, rows: Iterable[tuple[int, int, tuple[int, int]]], *, last: bool
    ) -> None:
        """Add queue counters: (port number, queue id, (tx_bytes, tx_errors))."""
        for port, queue, counters in rows:
            self._line.queues.setdefault(_key(switch, port), {})[str(queue)] = counters
        if last:
            self._missing.discard((switch, "queues"))

    @property
    def done(self) -> bool:
        return not self._missing

    def write(self, file: TextIO, t_s: float) -> None:
        """Append the round as one line, `t_s` being its moment on CLOCK_MONOTONIC."""
        self._line.t = t_s
        file.write(msgspec.json.encode(self._line).decode() + "\n")
        file.flush()


def read_samples(path: Path, plan: Plan, t0_s: float) -> list[CounterSample]:
    """Samples of a run in model units, in time order.

    Args:
        t0_s: the run's start on CLOCK_MONOTONIC; samples before it have negative times.

    Bytes are payload: wire bytes less full-sized frames' headers. Left out are rounds from
    before the queues were made, and a last line that was cut short by the writer's end.

    Raises:
        ValueError: a port or queue of the plan has no counters, or the datapath cannot count
            what a queue dropped.
        msgspec.DecodeError: a line is not a sample.
    """
    telemetry = Telemetry(path, plan)
    lines = telemetry.take()
    if not lines and telemetry.lacking:
        raise ValueError(telemetry.lacking)
    return [telemetry.sample(line, t0_s) for line in lines]


class Telemetry:
    """Sampling rounds, read as they are written.

    Attributes:
        last: the newest round that was taken.
        lacking: what a round lacked that was left out, since the queues were not there yet.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.last: Line | None = None
        self.lacking: str | None = None
        self._plan = plan
        self._path = path
        self._read_bytes = 0
        self._decoder = msgspec.json.Decoder(Line)

    def take(self) -> list[Line]:
        """Rounds that have not been taken yet, in time order.

        Raises:
            ValueError, msgspec.DecodeError: as `read_samples`.
        """
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            complete, newline, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(complete) + len(newline)
        taken = []
        for text in complete.splitlines():
            line = self._decoder.decode(text)
            if gap := _gap(line, self._plan):
                self.lacking = f"sample at t={line.t}: {gap}"
                if self.last is not None:
                    raise ValueError(self.lacking)
            else:
                self.last = line
                taken.append(line)
        return taken

    def sample(self, line: Line, t0_s: float) -> CounterSample:
        """A round in model units, its time counted from `t0_s` on CLOCK_MONOTONIC."""
        return _sample(line, self._plan, t0_s)


def _sample(line: Line, plan: Plan, t0_s: float) -> CounterSample:
    def port(switch: str, number: int, counter: int) -> float:
        return plan.payload_bytes(line.ports[_key(switch, number)][counter])

    return CounterSample(
        t_s=plan.scale.model_s(line.t - t0_s),
        nics={
            nic.name: (
                port(nic.switch, nic.port, RX_BYTES),
                port(nic.switch, nic.port, TX_BYTES),
            )
            for nic in plan.fabric.nics
        },
        links={
            link.name: (
                port(link.a, link.a_port, TX_BYTES),
                port(link.b, link.b_port, TX_BYTES),
            )
            for link in plan.fabric.links
        },
        lanes={
            lane: (plan.payload_bytes(sent), drops)
            for lane, (sent, drops) in _lane_totals(line, plan).items()
        },
    )


def _gap(line: Line, plan: Plan) -> str | None:
    """What the sample lacks of the plan, or None."""
    for port in _ports(plan):
        if port not in line.ports:
            return f"port {port} has no counters"
        for lane in plan.lanes.lanes:
            counters = line.queues.get(port, {}).get(str(lane.vl))
            if counters is None:
                return f"port {port} has no queue {lane.vl}; create the queues of the plan"
            if UNSUPPORTED in counters:
                return f"queue {lane.vl} of port {port} is not counted; it must be linux-htb"
    return None


def _lane_totals(line: Line, plan: Plan) -> dict[str, tuple[int, int]]:
    """Wire bytes and drops of each lane over every switch egress of the plan."""
    ports = _ports(plan)
    totals = {}
    for lane in plan.lanes.lanes:
        counters = [line.queues[port][str(lane.vl)] for port in ports]
        totals[lane.name] = (sum(sent for sent, _ in counters), sum(lost for _, lost in counters))
    return totals


def _ports(plan: Plan) -> list[str]:
    """Every switch port of the plan, as samples name it."""
    return [_key(*egress.port) for egress in plan.egresses if egress.port]


def _key(switch: str, port: int) -> str:
    return f"{switch}:{port}"
