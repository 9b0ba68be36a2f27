"""However a run dies, the machine is left as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from plan.errors import MachineError
from tests.machine_state import differences, eventually, look
from topology import sandbox

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]

RUN = """
import sys, time
from topology import sandbox
if not sandbox.inside():
    sys.exit(sandbox.run_inside())
from tests.topology.plans import make_plan
from topology import ovs, shaping
from topology.network import Network
plan = make_plan()
with ovs.daemons() as daemons, Network(plan.fabric, daemons, 6653) as network:
    shaping.shape_hosts(network, plan)
    network.popen("pe0", ["sleep", "1000"])
    open("/run/openvswitch/left", "w").close()
    print("up", flush=True)
    time.sleep(1000)
"""


@pytest.mark.usefixtures("private_tmp")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_the_outer_process_dies_by(number: signal.Signals) -> None:
    before = look()
    # nested in the sandbox of the tests, whose mark is taken off so that it makes its own
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DUALPATH")}
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdout=subprocess.PIPE, env=environment
    ) as outer:
        assert outer.stdout is not None
        assert outer.stdout.readline() == b"up\n"
        during = look()
        outer.send_signal(number)
        outer.wait()
    assert len(during.processes) > len(before.processes) + 5
    assert len(during.namespaces) > len(before.namespaces) + 5
    assert eventually(lambda: look() == before, within_s=10), differences(before, look())


def test_a_sandbox_hands_on_the_exit_code_and_starts_empty() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DUALPATH")}
    script = (
        "import os, sys; from topology import sandbox; "
        "sandbox.inside() or sys.exit(sandbox.run_inside()); "
        "print(os.listdir('/sys/class/net'), os.getppid()); sys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 7
    assert done.stdout == "['lo'] 1\n"


def test_a_second_sandbox_inside_is_refused() -> None:
    assert sandbox.inside()
    with pytest.raises(MachineError, match="already inside"):
        sandbox.run_inside()
