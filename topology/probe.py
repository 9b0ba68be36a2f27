"""Saturate every NIC for a moment and see whether it carries what the plan says.

First every NIC sends to the next one of its kind and rate, as many at once as a small machine
forwards, so each is full in both directions; neighbours share an edge switch where they can.
Then storage hosts fill the SNICs of the nodes.
All of it is bulk, so it rides the KV lane, which may take the whole link when idle.
"""

from __future__ import annotations

import math
import selectors
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

from plan.errors import RunError
from plan.fabric import End, Nic, NicKind
from plan.model import Plan
from topology.counters import egress_bytes, waiting_bytes
from topology.namespace import entered
from topology.network import Network
from topology.priority import Rank, preferred

FRAMES = 100
"""Of the slowest flow in a round, as far as the time allows: less would not tell a per cent."""
SHORTEST_S, LONGEST_S = 0.2, 0.5
"""Wall seconds that a round is measured, after half as long a warm-up."""
ROUND_WIRE_BPS = 500e6
SUSPICIOUS = 0.03
PATIENCE = 6
"""A flow of which nothing arrives has so many times the time: other runs may be in real time."""
_CHUNK = bytes(2**18)
_TCPI_BYTES_RECEIVED = 128
_CONNECT_S = 10.0
_DRAIN_S = 10.0


@dataclass(frozen=True)
class Pair:
    """A flow between two NICs and the payload rate the fabric owes it, model bit/s."""

    source: Nic
    target: Nic
    rate_bps: float


def probe_rates(network: Network, plan: Plan, seconds: float | None = None) -> dict[str, float]:
    """Achieved over nominal payload rate of every NIC, by its name; 1.0 is as planned.

    A NIC's figure is the least of its directions in the rounds that saturate it. Where one
    is off by more than `SUSPICIOUS` it is measured once more and the better figure counts:
    a machine that was busy for a moment is no wrong bandwidth, and a wrong one stays wrong.

    Args:
        seconds: wall time measured in each round; None: as long as its rates need.

    Raises:
        RunError: nothing arrived at some NIC.
    """
    around, fan = ring(plan), storage_fan(plan)
    ratios = _probe_once(network, plan, around, fan, seconds)
    off = {nic for nic, ratio in ratios.items() if abs(ratio - 1) > SUSPICIOUS}
    around = [pair for pair in around if not off.isdisjoint((pair.source.name, pair.target.name))]
    fan = [pair for pair in fan if pair.source.name in off]
    again = _probe_once(network, plan, around, fan, seconds)
    better = {nic: min(ratios[nic], again[nic], key=lambda ratio: abs(ratio - 1)) for nic in off}
    return ratios | better


def shortfall(network: Network, plan: Plan) -> float:
    """How far the flows that ask most of the switches are off their rate, as a fraction.

    Of `probe_rates` that is one round alone.

    Raises:
        RunError: nothing arrived at some NIC.
    """
    hardest = max(rounds(plan, ring(plan)), key=_asked_bps)
    arrived_bps = measure(network, plan, hardest, LONGEST_S).arrived_bps
    return max(0.0, *(1 - arrived / pair.rate_bps for pair, arrived in arrived_bps.items()))


def _asked_bps(pairs: Sequence[Pair]) -> float:
    """Of switches; flows between two of them cross several."""
    return sum(
        pair.rate_bps * (1 if pair.source.switch == pair.target.switch else 2) for pair in pairs
    )


def _probe_once(
    network: Network,
    plan: Plan,
    around: Sequence[Pair],
    fan: Sequence[Pair],
    seconds: float | None,
) -> dict[str, float]:
    """Of the NICs of a ring, and of those that a fan leaves."""
    ratios: dict[str, float] = {}
    for pairs in rounds(plan, around):
        time_s = seconds or measured_s(plan, pairs)
        for pair, achieved_bps in measure(network, plan, pairs, time_s).arrived_bps.items():
            ratio = achieved_bps / pair.rate_bps
            for nic in (pair.source, pair.target):
                ratios[nic.name] = min(ratio, ratios.get(nic.name, ratio))
    if not fan:
        return ratios
    sent: dict[Nic, list[Pair]] = defaultdict(list)
    for pair in fan:
        sent[pair.source].append(pair)
    found = measure(network, plan, fan, seconds or measured_s(plan, fan))
    for nic, pairs in sent.items():
        owed_bps = sum(pair.rate_bps for pair in pairs)
        ratio = _sent_bps(found, nic, pairs, owed_bps) / owed_bps
        ratios[nic.name] = min(ratio, ratios.get(nic.name, ratio))
    return ratios


@dataclass(frozen=True)
class Measured:
    """Payload rates, model bit/s: arrived over each pair, and left each NIC by its counter."""

    arrived_bps: dict[Pair, float]
    left_bps: dict[str, float]


def _sent_bps(found: Measured, nic: Nic, pairs: Sequence[Pair], owed_bps: float) -> float:
    """What a NIC that sends over these pairs was measured to send. Of one that they fill, what left
    it: what arrives also tells how long queues downstream grew or shrank. Of one with rate to
    spare what leaves tells that, so what arrived."""
    if owed_bps < (1 - SUSPICIOUS) * nic.rate_bps:
        return sum(found.arrived_bps[pair] for pair in pairs)
    return found.left_bps[nic.name]


def ring(plan: Plan) -> list[Pair]:
    """Every NIC to the next of its kind and rate; one that has no equal is left out."""
    alike: dict[tuple[NicKind, float], list[Nic]] = defaultdict(list)
    for nic in plan.fabric.nics:
        alike[nic.kind, nic.rate_bps].append(nic)
    return [
        _pair(plan, source, target)
        for nics in alike.values()
        if len(nics) > 1
        for source, target in pairwise([*nics, nics[0]])
    ]


def rounds(plan: Plan, pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs in turns that a small machine can forward: NICs need not all be full at once
    to show that each has its rate. A pair of more than the budget has a turn of its own."""
    turns: list[list[Pair]] = []
    left_bps = 0.0
    for pair in pairs:
        wire_bps = plan.scale.wire_bps(pair.rate_bps)
        if not turns or wire_bps > left_bps:
            turns.append([])
            left_bps = ROUND_WIRE_BPS
        turns[-1].append(pair)
        left_bps -= wire_bps
    return turns


def measured_s(plan: Plan, pairs: Sequence[Pair]) -> float:
    """How long a round takes to tell its rates, wall seconds."""
    slowest_bps = plan.scale.wire_bps(min(pair.rate_bps for pair in pairs))
    return min(max(SHORTEST_S, FRAMES * 8 * plan.fabric.mtu / slowest_bps), LONGEST_S)


def storage_fan(plan: Plan) -> list[Pair]:
    """Storage hosts in turn to the SNICs of the nodes, sharing out what the sender has."""
    hosts = {node.name for node in plan.fabric.nodes_of("storage")}
    sources = [nic for nic in plan.fabric.nics if nic.kind == "snic" and nic.node in hosts]
    targets = [nic for nic in plan.fabric.nics if nic.kind == "snic" and nic.node not in hosts]
    return [
        _pair(plan, source, target, share=len(targets[i :: len(sources)]))
        for i, source in enumerate(sources)
        for target in targets[i :: len(sources)]
    ]


def measure(network: Network, plan: Plan, pairs: Sequence[Pair], seconds: float) -> Measured:
    """Run one bulk flow for each pair, all together.

    Counted in whole frames. It returns when all queues are empty again.

    Raises:
        RunError: nothing arrived on a pair, not in `PATIENCE` times that time either, or the
            queues stopped to drain for 10 s.
    """
    # it sends and receives as nodes do, and is to keep up as they do
    with (
        preferred(Rank.NODE),
        ExitStack() as stack,
        selectors.DefaultSelector() as selector,
    ):
        receivers = []
        for pair in pairs:
            sender, receiver = _connect(network, plan, pair)
            stack.enter_context(sender)
            stack.enter_context(receiver)
            receivers.append(receiver)
            selector.register(sender, selectors.EVENT_WRITE)
            selector.register(receiver, selectors.EVENT_READ)
        _pump(selector, seconds / 2)
        for time_s in (seconds, PATIENCE * seconds):
            before = _Sample.take(network, plan, receivers)
            _pump(selector, time_s)
            after = _Sample.take(network, plan, receivers)
            if all(a[1] < b[1] for a, b in zip(before.arrived, after.arrived, strict=True)):
                break
    _drain(network, plan)
    return Measured(
        arrived_bps={
            pair: plan.scale.model_bps(_arrival_bps(pair, first, last))
            for pair, first, last in zip(pairs, before.arrived, after.arrived, strict=True)
        },
        left_bps={
            name: 8 * (after.left[name] - left) / plan.scale.model_s(after.left_s - before.left_s)
            for name, left in before.left.items()
        },
    )


@dataclass(frozen=True)
class _Sample:
    """Counters at one moment; times are wall seconds.

    Attributes:
        arrived: for each flow, when and how many emulated bytes its receiver's kernel had:
            not what this process got around to reading.
        left: model bytes of payload out of each NIC; left_s: when.
    """

    arrived: list[tuple[float, int]]
    left: dict[str, float]
    left_s: float

    @classmethod
    def take(cls, network: Network, plan: Plan, receivers: Sequence[socket.socket]) -> _Sample:
        arrived = [(time.monotonic(), _received_bytes(receiver)) for receiver in receivers]
        left = {name: out for name, (out, _) in egress_bytes(network, plan).items()}
        return cls(arrived, left, time.monotonic())


def _arrival_bps(pair: Pair, first: tuple[float, int], last: tuple[float, int]) -> float:
    if last[1] == first[1]:
        raise RunError(
            f"nothing went from {pair.source.name} to {pair.target.name}: "
            "look at the flows of the switches between them"
        )
    return 8 * (last[1] - first[1]) / (last[0] - first[0])


def _received_bytes(receiver: socket.socket) -> int:
    info = receiver.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    received: int = struct.unpack_from("=Q", info, _TCPI_BYTES_RECEIVED)[0]
    return received


def _pump(selector: selectors.BaseSelector, seconds: float) -> None:
    """Keep all senders' buffers full and all receivers' empty."""
    until_s = time.monotonic() + seconds
    buffer = bytearray(len(_CHUNK))
    while (left_s := until_s - time.monotonic()) > 0:
        for key, _ in selector.select(left_s):
            end = key.fileobj
            assert isinstance(end, socket.socket)
            if key.events & selectors.EVENT_WRITE:
                end.send(_CHUNK)
            else:
                # TCP throws away what is read so
                end.recv_into(buffer, 0, socket.MSG_TRUNC)


def _drain(network: Network, plan: Plan) -> None:
    """Wait until all queues are empty: slow ports take their time, none stands still."""
    least, deadline = math.inf, 0.0
    while waiting := waiting_bytes(network, plan):
        if waiting < least:
            least, deadline = waiting, time.monotonic() + _DRAIN_S
        elif time.monotonic() > deadline:
            raise RunError(f"{waiting} bytes wait in queues, and in {_DRAIN_S:.0f} s none left")


def _pair(plan: Plan, source: Nic, target: Nic, share: int = 1) -> Pair:
    rates = [source.rate_bps / share, target.rate_bps]
    if source.switch != target.switch:
        rates += [link.rate_bps for link in plan.fabric.links if link.plane == source.plane]
    return Pair(source, target, min(rates))


def _connect(network: Network, plan: Plan, pair: Pair) -> tuple[socket.socket, socket.socket]:
    """A connection from the source's last end (a GPU's HBM) to the target's first (DRAM)."""
    source, target = pair.source.ends[-1], pair.target.ends[0]
    with _socket(network, plan, target) as listener:
        listener.bind((target.ip, 0))
        listener.listen(1)
        sender = _socket(network, plan, source)
        sender.settimeout(_CONNECT_S)
        sender.bind((source.ip, 0))
        try:
            sender.connect(listener.getsockname())
        except OSError as error:
            raise RunError(f"{source.name} can't reach {target.name}: {error}") from error
        receiver, _ = listener.accept()
    for end in (sender, receiver):
        end.setblocking(False)
        # closing must drop what was not sent, or it would go on into the run
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sender, receiver


def _socket(network: Network, plan: Plan, end: End) -> socket.socket:
    with entered(network.namespace_pid(end.host)):
        made = socket.socket()
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, plan.lanes.dscp["kv"] << 2)
    return made
