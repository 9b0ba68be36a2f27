"""A system's run as a timeline: `timeline.json.gz`, which opens in Perfetto.

| process | tracks | |
|---|---|---|
| `agents` | one an agent | its turns, each with what its time went to |
| a prefill or decode node | `SNIC reads` | requests while their KV-Cache is read on this side |
| | an engine's | requests while it prefills, or decodes |
| | counters | rates of its SNIC and CNICs, bytes leased of its buffer |
| `fabric` | counters | rates of links that carried anything, and of lanes |

A request's way is a flow: from its turn over read and prefill to decode. Where more than one
is at it at a time, a track has several rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from plan.fabric import Fabric
from plan.names import node_of
from plan.records import RequestRecord
from scenarios.exports.rows import rows
from scenarios.exports.trace_events import TraceEvents, Track
from scenarios.results.saved_run import SavedRun, SavedSystem

FILE = "timeline.json.gz"
_FABRIC = "fabric"


class _Stay(NamedTuple):
    """A request at one place for a time, model seconds; `order` is of the flow's steps."""

    process: str
    place: str
    start_s: float
    end_s: float
    order: int
    record: RequestRecord


def write(run: SavedRun, system: SavedSystem, directory: Path) -> list[Path]:
    """Write `timeline.json.gz`; returns what was written."""
    path = directory / FILE
    told = {"system": system.name, "time": "model time", "version": run.provenance.project}
    with TraceEvents(path, told) as events:
        for node in run.plan.fabric.engine_nodes:
            events.process(node.name)
        events.process(_FABRIC)
        turns = _turns(events, system.records)
        _flows(events, run.plan.fabric, system.records, turns)
        _nics(events, run.plan.fabric, system)
        _buffers(events, system)
    return [path]


def _turns(events: TraceEvents, records: list[RequestRecord]) -> dict[int, Track]:
    """Every agent's turns and their parts; returns the track of each request."""
    tracks = {}
    for record in sorted(records, key=lambda r: (r.agent, r.submit_s)):
        if record.done_s is None:
            continue
        track = tracks[record.request] = events.track("agents", f"agent {record.agent}")
        args = {
            "request": record.request,
            "prompt tokens": record.prompt_tokens,
            "hit tokens": record.hit_tokens,
            "generated tokens": record.gen_tokens,
            "PE": record.pe,
            "DE": record.de,
            "path": record.path,
            "error": record.error,
        }
        events.slice(track, f"turn {record.turn}", record.submit_s, record.done_s, args)
        for name, start_s, end_s in _parts(record):
            events.slice(track, name, start_s, end_s)
    return tracks


def _parts(record: RequestRecord) -> Iterator[tuple[str, float, float]]:
    """What a turn's time went to: the parts of TTFT, then of decode."""
    marks = [
        ("scheduling", record.assigned_s),
        ("buffer and SNIC queue", record.read_start_s),
        ("KV read", record.read_end_s),
        ("DE buffer", record.ready_s),
        ("prefill queue", record.prefill_start_s),
        ("prefill", record.first_s),
        ("to second token", record.second_s),
        ("decode", record.done_s),
    ]
    before_s = record.submit_s
    for name, at_s in marks:
        if at_s is not None:
            yield name, before_s, at_s
            before_s = at_s


def _flows(
    events: TraceEvents, fabric: Fabric, records: list[RequestRecord], turns: dict[int, Track]
) -> None:
    """Requests at SNICs and engines, and the arrows between them."""
    steps: dict[int, list[tuple[int, Track, float]]] = defaultdict(list)
    places: dict[tuple[str, str], list[_Stay]] = defaultdict(list)
    for record in records:
        for stay in _stays(record):
            places[stay.process, stay.place].append(stay)
    order = {node.name: i for i, node in enumerate(fabric.nodes)}
    for (process, place), stays in sorted(
        places.items(), key=lambda item: (order[item[0][0]], item[0][1])
    ):
        found = rows([(stay.start_s, stay.end_s) for stay in stays])
        names = [f"{place} · {row + 1}" if max(found) else place for row in range(max(found) + 1)]
        tracks = [events.track(process, name) for name in names]
        for stay, row in zip(stays, found, strict=True):
            record = stay.record
            args = {"agent": record.agent, "turn": record.turn, "path": record.path}
            events.slice(tracks[row], f"request {record.request}", stay.start_s, stay.end_s, args)
            steps[record.request].append((stay.order, tracks[row], stay.start_s))
    for record in records:
        way = [(track, at_s) for _, track, at_s in sorted(steps[record.request])]
        if way and record.request in turns:
            events.flow(record.request, [(turns[record.request], record.submit_s), *way])


def _stays(record: RequestRecord) -> Iterator[_Stay]:
    """Where a request was. Both sides read a split one; its times are of the two together."""
    pe, de = record.pe, record.de
    if pe is None or de is None:
        return
    if record.read_start_s is not None and record.read_end_s is not None:
        readers = {"pe": (pe,), "de": (de,), "split": (pe, de)}.get(record.path or "", ())
        for engine in readers:
            span = record.read_start_s, record.read_end_s
            yield _Stay(node_of(engine), "SNIC reads", *span, 0, record)
    if record.prefill_start_s is not None and record.first_s is not None:
        yield _Stay(node_of(pe), f"{pe} prefill", record.prefill_start_s, record.first_s, 1, record)
    if record.first_s is not None and record.done_s is not None:
        yield _Stay(node_of(de), f"{de} decode", record.first_s, record.done_s, 2, record)


def _nics(events: TraceEvents, fabric: Fabric, system: SavedSystem) -> None:
    """Rates between two readings of the counters, in Gbit/s."""
    nics = [
        (nic.name, node.name)
        for node in fabric.engine_nodes
        for nic in fabric.nics
        if nic.node == node.name and nic.kind != "mgmt"
    ]
    ways = {link.name: link.directions for link in fabric.links}
    used = _used(system)
    for early, late in pairwise(system.samples):
        to_gbps = 8e-9 / (late.t_s - early.t_s)
        for nic, node in nics:
            out, into = (b - a for a, b in zip(early.nics[nic], late.nics[nic], strict=True))
            rates = {"out, Gbit/s": out * to_gbps, "in, Gbit/s": into * to_gbps}
            events.counter(node, nic, early.t_s, rates)
        for link in used:
            sent = (b - a for a, b in zip(early.links[link], late.links[link], strict=True))
            rates = {f"{way}, Gbit/s": x * to_gbps for way, x in zip(ways[link], sent, strict=True)}
            events.counter(_FABRIC, link, early.t_s, rates)
        for lane, (sent_bytes, _) in late.lanes.items():
            rate = (sent_bytes - early.lanes[lane][0]) * to_gbps
            events.counter(_FABRIC, f"lane {lane}", early.t_s, {"all egresses, Gbit/s": rate})


def _used(system: SavedSystem) -> list[str]:
    if not system.samples:
        return []
    first, last = system.samples[0], system.samples[-1]
    return [link for link, sent in last.links.items() if sent != first.links[link]]


def _buffers(events: TraceEvents, system: SavedSystem) -> None:
    for stats in system.stats:
        for at_s, leased in stats.buffer:
            events.counter(stats.node, "buffer", at_s, {"leased, GB": leased / 1e9})
