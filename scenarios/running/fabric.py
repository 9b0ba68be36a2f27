"""The fabric of a run: built, shaped, read back, probed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from controller import qos
from controller.telemetry import Telemetry
from plan.errors import RunError
from plan.model import Plan
from scenarios.running.controller_process import CONTROLLER_PORT, Controller, ready, started
from scenarios.running.journal import Journal
from topology import ovs, shaping
from topology.network import Network
from topology.probe import probe_rates


class Fabric(NamedTuple):
    """A fabric that is up, checked and probed."""

    network: Network
    controller: Controller
    telemetry: Telemetry
    probes: Mapping[str, float]
    journal: Journal


@contextmanager
def open_fabric(
    plan: Plan, directory: Path, sample_s: float, journal: Journal, *, probe: bool = True
) -> Iterator[Fabric]:
    """Build the plan's fabric, shape it, start its controller, read all of it back, probe it.

    Args:
        directory: for the controller's log and telemetry, and Open vSwitch's logs.
        sample_s: wall seconds between two counter samples.
        journal: told what is being done, and what befalls the fabric.
        probe: False leaves the probes out.

    Raises:
        RunError: it could not be built, or the kernel did not apply what the plan says.
    """
    journal.phase("fabric")
    telemetry = directory / "telemetry.jsonl"
    with (
        started(directory, telemetry, sample_s, journal) as running,
        ovs.daemons(directory, ovs.daemons_wanted(len(plan.fabric.switches))) as daemons,
        Network(plan.fabric, daemons, CONTROLLER_PORT, lossless=plan.recovery is None) as network,
    ):
        qos.install(plan, network.databases)
        shaping.finish_switch_ports(network, plan)
        shaping.shape_hosts(network, plan)
        if disagreements := shaping.read_back(network, plan):
            raise RunError(f"the kernel did not apply the plan: {'; '.join(disagreements[:3])}")
        journal.phase("controller")
        with ready(running):
            if probe:
                journal.phase("probes")
            probes = probe_rates(network, plan) if probe else {}
            yield Fabric(network, running, Telemetry(telemetry, plan), probes, journal)
