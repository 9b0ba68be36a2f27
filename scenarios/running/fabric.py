"""The fabric of a run: built, shaped, read back, probed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from controller import qos
from plan.errors import RunError
from plan.model import Plan
from scenarios.running.controller_process import CONTROLLER_PORT, Controller, controller
from topology import ovs, shaping
from topology.network import Network
from topology.probe import probe_rates


class Fabric(NamedTuple):
    """A fabric that is up, checked and probed."""

    network: Network
    controller: Controller
    telemetry: Path
    probes: Mapping[str, float]


@contextmanager
def open_fabric(
    plan: Plan, directory: Path, sample_s: float, *, probe: bool = True
) -> Iterator[Fabric]:
    """Build the plan's fabric, shape it, start its controller, read all of it back, probe it.

    Args:
        directory: for the controller's log and telemetry.
        sample_s: wall seconds between two counter samples.
        probe: False leaves the probes out.

    Raises:
        RunError: it could not be built, or the kernel did not apply what the plan says.
    """
    with (
        ovs.daemons() as daemons,
        Network(plan.fabric, daemons, CONTROLLER_PORT) as network,
    ):
        qos.install(plan)
        shaping.finish_switch_ports(network, plan)
        shaping.shape_hosts(network, plan)
        telemetry = directory / "telemetry.jsonl"
        with controller(directory, telemetry, sample_s) as running:
            if disagreements := shaping.read_back(network, plan):
                raise RunError(f"the kernel did not apply the plan: {'; '.join(disagreements[:3])}")
            probes = probe_rates(network, plan) if probe else {}
            yield Fabric(network, running, telemetry, probes)
