"""`dilation: auto`: how slow a scenario has to run for this machine to keep up with it.

What a byte costs is measured: a pilot, the last turn of some agents, is served on the
scenario's own fabric, and the CPU time of switch and nodes is divided by the bytes that passed
the switches' ports. So are the lateness of timers, what other programs use meanwhile, and
whether a NIC is full when it can be: that asks more of the switches, for a moment, than the run.
The pilot is served fast, since a byte costs less where frames come thick, as they do when it
matters. How many bytes a second it will be is predicted: the same pilot in virtual time, in which
every storage NIC that can be full is full, gives the busiest moment. Cost times rate is the
processors that dilation 1 would take; dilation divides it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from plan.deployment import System
from plan.errors import BrokenOff, RunError
from plan.model import Plan, write_plan
from plan.records import CounterSample
from plan.workload import Trajectory
from scenarios.results.fidelity import LATENESS_S
from scenarios.results.readable_json import write_json
from scenarios.results.result import SystemResult
from scenarios.running import emulation, simulation
from scenarios.running.fabric import open_fabric
from scenarios.running.journal import JOURNAL, Journal
from scenarios.workload.trace import window
from topology.priority import in_real_time
from topology.probe import shortfall


class Room(NamedTuple):
    """How much a run may use at its busiest moment, at what a byte costs in the pilot.

    Attributes:
        switch_cores: of the one core that a switch daemon can use.
        share: of the cores that others leave, used by switch and nodes.
    """

    switch_cores: float
    share: float


ALONE = Room(0.9, 0.8)
"""In real time, where other programs wait. The pilot's bytes cost half as much again as those of
a busy moment: its first and last ones come alone."""
SHARED = Room(0.5, 0.6)
FULL_SHARE = 0.7
"""Of the rate that the switches reached, so much may be asked of them."""
SHORT = 0.01
"""They reached all that was asked if no more is missing."""
LEFT_CORES = 0.25
"""Others are not taken to leave less than that share of all cores: they have to share, too."""
TIMER_SHARE = 0.6
"""Of the lateness of timers that a run may show and be believed."""
LEAST, MOST = 0.5, 100.0
"""Timers of a usual kernel are too coarse for less, patience ends before more."""
STEPS = (1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.4, 8.0)
"""A dilation is one of these times a power of ten, so that noise changes it seldom."""
PILOT_AGENTS = 12
"""For each prefill and decode node: enough to fill its storage NIC for a while."""
PILOT_GEN = 8
SAMPLE_S = 0.25
"""Model seconds between two readings of the pilot's counters; the busiest moment's length."""
GUESS_BPS = 2e9
"""What two cores forward over all ports, wire bit/s: only where the pilot starts."""


class Pilot(msgspec.Struct, frozen=True, kw_only=True):
    """What serving a pilot measured.

    Attributes:
        switch_s, nodes_s: CPU seconds for every model byte that leaves a switch port.
        others_cores: used by other programs meanwhile.
        real_time: others wait for switches and nodes, and so take nothing from them.
        lateness_s: of the worst node's timers at the 99th percentile, wall seconds.
        dilation: at which it was served.
        shortfall: of NICs that were filled at that dilation, as a fraction of their rate.
    """

    switch_s: float
    nodes_s: float
    others_cores: float
    real_time: bool
    lateness_s: float
    dilation: float
    shortfall: float

    @property
    def room(self) -> Room:
        return ALONE if self.real_time else SHARED


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A dilation and what it rests on.

    Attributes:
        peak_bytes_per_s: predicted, over all switch ports, model bytes a model second.
        switch_cores, nodes_cores: what the busiest moment would take at dilation 1.
        cores: of this machine.
    """

    dilation: float
    peak_bytes_per_s: float
    switch_cores: float
    nodes_cores: float
    cores: int
    pilot: Pilot

    @property
    def reason(self) -> str:
        """For the report."""
        room = self.pilot.room
        return (
            f"auto: {self.dilation:g}. At 1 the busiest moment would take"
            f" {self.switch_cores:.2f} cores for the switch and {self.nodes_cores:.2f} for nodes;"
            f" wanted are at most {room.switch_cores:g}, and in all {room.share:.0%} of"
            f" {self._left} (others used {self.pilot.others_cores:.1f})."
            f" Full at {self.pilot.dilation:g}, a NIC was {self.pilot.shortfall:.1%} short."
            f" Timers were {1e3 * self.pilot.lateness_s:.1f} ms late by the wall; wanted are at"
            f" most {1e3 * TIMER_SHARE * LATENESS_S:.1f} ms of model time."
        )

    @property
    def _left(self) -> str:
        cores = f"{self.cores} cores"
        return f"{cores} in real time" if self.pilot.real_time else f"what others leave of {cores}"


def choose(peak_bytes_per_s: float, pilot: Pilot, cores: int) -> Calibration:
    """The least dilation at which the busiest moment leaves this machine room.

    Args:
        peak_bytes_per_s: over all switch ports, model bytes a model second.
        cores: of this machine.
    """
    switch, nodes = peak_bytes_per_s * pilot.switch_s, peak_bytes_per_s * pilot.nodes_s
    left = max(cores - _taken_cores(pilot), LEFT_CORES * cores)
    wanted = max(
        switch / pilot.room.switch_cores,
        (switch + nodes) / (pilot.room.share * left),
        _filling(pilot),
        _timely(pilot),
    )
    return Calibration(
        dilation=round_up(min(max(wanted, LEAST), MOST)),
        peak_bytes_per_s=peak_bytes_per_s,
        switch_cores=switch,
        nodes_cores=nodes,
        cores=cores,
        pilot=pilot,
    )


def _timely(pilot: Pilot) -> float:
    """The least dilation at which timers fire in time."""
    return pilot.lateness_s / (TIMER_SHARE * LATENESS_S)


def _filling(pilot: Pilot) -> float:
    """The least dilation at which NICs can be filled, as far as the pilot knows."""
    if pilot.shortfall <= SHORT:
        return pilot.dilation
    return pilot.dilation / max(FULL_SHARE * (1 - pilot.shortfall), pilot.dilation / MOST)


def _taken_cores(pilot: Pilot) -> float:
    """By other programs, from a run."""
    return 0.0 if pilot.real_time else pilot.others_cores


def round_up(dilation: float) -> float:
    """The next of `STEPS` times a power of ten."""
    decade = 1.0
    while dilation < decade:
        decade /= 10
    while dilation > STEPS[-1] * decade:
        decade *= 10
    return next(step * decade for step in STEPS if step * decade >= dilation * (1 - 1e-9))


def port_bytes(sample: CounterSample) -> float:
    """Model bytes that have left all switch ports."""
    into_nodes = sum(into for _, into in sample.nics.values())
    return into_nodes + sum(up + down for up, down in sample.links.values())


def peak(samples: Sequence[CounterSample]) -> float:
    """The largest rate between two samples, over all switch ports, model bytes/s."""
    return max(
        (
            (port_bytes(late) - port_bytes(early)) / (late.t_s - early.t_s)
            for early, late in pairwise(samples)
            # the last two may lie so close that a single transfer makes a rate of its own
            if late.t_s - early.t_s > SAMPLE_S / 2
        ),
        default=0.0,
    )


def pilot_plan(plan: Plan) -> Plan:
    """The plan with the last turn of as many agents as keep the storage NICs busy."""
    nodes = len(plan.fabric.engine_nodes)
    agents = plan.trajectories[: PILOT_AGENTS * nodes]
    return msgspec.structs.replace(
        plan, trajectories=tuple(map(_last_turn, agents)), arrivals=None, gaps=None, end=None
    )


def heaviest(systems: Sequence[System]) -> System:
    """The system that moves most at a time: with I/O, and by both paths."""
    return max(systems, key=lambda system: (system.io, system.paths != "pe"))


def calibrate(
    plan: Plan, systems: Sequence[System], directory: Path, note: Callable[[str], None]
) -> Calibration:
    """Measure this machine with the plan's pilot and choose a dilation; inside a sandbox.

    Args:
        plan: its dilation does not matter.
        directory: for the pilot's logs and `calibration.json`; it is made.
        note: told what is going on.

    Raises:
        BrokenOff: the user ended it.
        RunError: the pilot could not be served.
    """
    note("dilation: serving a pilot to find it")
    small, system = pilot_plan(plan), heaviest(systems)
    simulated = _simulate(small, system, directory / "simulated")
    if not simulated.complete:
        raise BrokenOff
    peak_bytes_per_s = peak(simulated.samples)
    guess = 8 * peak_bytes_per_s * plan.fabric.framing / plan.scale.byte_scale / GUESS_BPS
    small = at_dilation(small, min(max(guess, LEAST), MOST))
    pilot = _serve(small, system, directory)
    if _timely(pilot) > pilot.dilation:
        # few timers fire in a pilot: one that was late for once would decide alone
        again = _serve(small, system, directory / "again")
        lateness_s = min(pilot.lateness_s, again.lateness_s)
        pilot = msgspec.structs.replace(pilot, lateness_s=lateness_s)
    found = choose(peak_bytes_per_s, pilot, len(os.sched_getaffinity(0)))
    write_json(directory / "calibration.json", found)
    note(f"dilation {found.reason}")
    return found


def at_dilation(plan: Plan, dilation: float) -> Plan:
    """The plan at another dilation."""
    scale = msgspec.structs.replace(plan.scale, dilation=dilation)
    return msgspec.structs.replace(plan, scale=scale)


def _last_turn(trajectory: Trajectory) -> Trajectory:
    last = window(trajectory, len(trajectory.turns) - 1, 1)
    [turn] = last.turns
    short = msgspec.structs.replace(turn, gen=min(turn.gen, PILOT_GEN))
    return msgspec.structs.replace(last, turns=(short,))


def _simulate(plan: Plan, system: System, place: Path) -> SystemResult:
    place.mkdir(parents=True)
    with Journal(place / JOURNAL) as journal:
        return simulation.serve(plan, system, SAMPLE_S, place, journal, lambda *_: None)


def _serve(plan: Plan, system: System, directory: Path) -> Pilot:
    place = directory / "systems" / system.name
    place.mkdir(parents=True)
    write_plan(plan, directory / "plan.json")
    sample_s = plan.scale.wall_s(SAMPLE_S)
    with (
        Journal(directory / JOURNAL) as journal,
        open_fabric(plan, directory, sample_s, journal, probe=False) as fabric,
    ):
        result = emulation.serve(plan, system, fabric, place, lambda *_: None)
        if not result.complete:
            raise BrokenOff
        real_time = all(map(in_real_time, fabric.network.daemons.vswitchd_pids))
        return measured(plan, result, shortfall(fabric.network, plan), real_time=real_time)


def measured(plan: Plan, result: SystemResult, short: float, *, real_time: bool) -> Pilot:
    """What an emulated result says of this machine.

    Args:
        short: the shortfall; it and `real_time` are those of `Pilot`.

    Raises:
        RunError: no byte crossed the fabric.
    """
    moved = port_bytes(result.samples[-1]) - port_bytes(result.samples[0])
    if not moved or result.cpu is None:
        raise RunError("no byte crossed the fabric in the pilot: write a number for scale.dilation")
    late = [stats.lateness_s[1] for stats in result.node_stats if stats.lateness_s is not None]
    cpu = result.cpu
    return Pilot(
        switch_s=cpu.switch * cpu.wall_s / moved,
        nodes_s=(cpu.nodes + cpu.controller) * cpu.wall_s / moved,
        others_cores=cpu.others,
        real_time=real_time,
        lateness_s=plan.scale.wall_s(max(late, default=0.0)),
        dilation=plan.scale.dilation,
        shortfall=short,
    )
