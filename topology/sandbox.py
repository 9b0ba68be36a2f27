"""The sandbox: private network, mount and process namespaces that die with the run.

Everything that a run creates (daemons, switches, interfaces, run files) is made inside.
When the process that entered dies, by any signal, the kernel kills every process inside,
and with the last of them go the namespaces and all they hold.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import NoReturn

from plan.errors import MachineError
from topology.interpreter import python
from topology.namespace import run

PRIVATE_DIRECTORIES = ("/run", "/etc/openvswitch", "/var/lib/openvswitch", "/var/log/openvswitch")
"""Covered by empty private file systems: where Open vSwitch, ip and Mininet write."""

_OUTER = "DUALPATH_OUTER_NETWORK"
_GRACE_S = 60.0
_ENTRY = "from topology.sandbox import _arrive; _arrive()"


def inside() -> bool:
    """Whether this process runs in a sandbox (and not merely with its environment)."""
    outer = os.environ.get(_OUTER)
    return outer is not None and outer != _network()


def run_inside(*further: str) -> int:
    """Run this Python command again, inside a new sandbox; returns its exit code.

    It finds itself `inside()` the second time. The caller waits outside, and with it dies the
    sandbox. Ctrl-C reaches the command inside too; it has a minute to end in order.

    Args:
        further: arguments added to the command's.

    Raises:
        MachineError: already inside, or not root.
    """
    if inside():
        raise MachineError("already inside a sandbox", "do this only when not inside()")
    if os.geteuid() != 0:
        raise MachineError("user is not root", "run with sudo")
    command = [sys.executable, *sys.orig_argv[1:], *further]
    # setpriv: the kernel kills unshare when we die; --kill-child: and then all inside
    child = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "-n", "-m", "-p", "-f", "--kill-child", "--mount-proc"),
            *python("-c", _ENTRY, *command),
        ],
        env={**os.environ, _OUTER: _network()},
    )
    return _wait(child)


def _wait(child: subprocess.Popen[bytes]) -> int:
    try:
        code = child.wait()
    except KeyboardInterrupt:
        try:
            code = child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return 130
    return code if code >= 0 else 128 - code


def _network() -> str:
    return os.readlink("/proc/self/ns/net")


def _arrive() -> NoReturn:
    """First process inside: cover the shared directories, run the command, reap orphans."""
    for directory in PRIVATE_DIRECTORIES:
        if os.path.isdir(directory):
            run(["mount", "-t", "tmpfs", "-o", "mode=755", "dualpath", directory])
    # the sysfs that came along shows the devices of the network outside
    run(["mount", "-t", "sysfs", "sysfs", "/sys"])
    os.makedirs("/run/openvswitch")
    run(["ip", "link", "set", "lo", "up"])
    command = os.fork()
    if command == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    # Ctrl-C is the command's to answer; when this process ends all others are killed
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == command:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
