"""A running fabric for tests: daemons, network, the real controller, shaped and read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller import qos
from plan.model import Plan, write_plan
from topology import ovs, shaping
from topology.network import Network

CONTROLLER_PORT = 6653


@contextmanager
def running(
    plan: Plan, directory: Path, daemons: int = 1, *, lossless: bool = True
) -> Iterator[Network]:
    """Build the plan's fabric and yield it when its queues are all in place."""
    write_plan(plan, directory / "plan.json")
    with (
        _controller(directory) as controller,
        ovs.daemons(count=daemons) as started,
        Network(plan.fabric, started, CONTROLLER_PORT, lossless=lossless) as network,
    ):
        qos.install(plan, network.databases)
        shaping.finish_switch_ports(network, plan)
        shaping.shape_hosts(network, plan)
        _await(controller)
        try:
            yield network
        finally:
            controller.kill()


@contextmanager
def _controller(directory: Path) -> Iterator[subprocess.Popen[str]]:
    controller = subprocess.Popen(
        [
            *(sys.executable, "-m", "controller.launcher"),
            *("--plan", str(directory / "plan.json")),
            *("--listen", f"127.0.0.1:{CONTROLLER_PORT}"),
            *("--telemetry", str(directory / "telemetry.jsonl")),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    try:
        yield controller
    finally:
        controller.kill()
        with controller:  # closes its pipe
            pass


def _await(controller: subprocess.Popen[str]) -> None:
    """Until it has set up the fabric."""
    assert controller.stdout is not None
    for line in controller.stdout:
        event = json.loads(line)
        assert event["event"] != "error", event
        if event["event"] == "ready":
            return
    raise AssertionError("the controller ended before it was ready")
