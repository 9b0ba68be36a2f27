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
        ovs.daemons(count=daemons) as started,
        Network(plan.fabric, started, CONTROLLER_PORT, lossless=lossless) as network,
    ):
        qos.install(plan, network.databases)
        shaping.finish_switch_ports(network, plan)
        shaping.shape_hosts(network, plan)
        with _controller(directory):
            yield network


@contextmanager
def _controller(directory: Path) -> Iterator[None]:
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
        assert controller.stdout is not None
        for line in controller.stdout:
            event = json.loads(line)
            assert event["event"] != "error", event
            if event["event"] == "ready":
                break
        else:
            raise AssertionError("the controller ended before it was ready")
        yield
    finally:
        controller.kill()
        with controller:  # closes its pipe
            pass
