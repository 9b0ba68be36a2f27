"""Private Open vSwitch daemons, and the cure for losses that no counter shows.

ovs-vswitchd's userspace datapath sends through one AF_PACKET socket. All that waits in
all queues of all ports counts against that socket's send buffer, and when it is full the
daemon drops frames, whatever their lane, and counts nothing. The default (208 KiB) can't
be changed inside a namespace, so the daemon's sockets are borrowed and widened.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from plan.endings import ending
from plan.errors import CommandError, MachineError, RunError
from topology.namespace import run
from topology.sandbox import inside

RUN_DIRECTORY = Path("/var/run/openvswitch")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PACKET_BUFFER_BYTES = 512 * 2**20

DatapathType = Literal["system", "netdev"]

_PIDFD_GETFD = 438
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_SK_MEMINFO_DROPS = 8
_TIMEOUT_S = "30"
_libc = ctypes.CDLL(None, use_errno=True)


class Daemons:
    """Running Open vSwitch.

    Attributes:
        vswitchd_pid: of the switch daemon's process.
        datapath: its kind.
    """

    def __init__(
        self,
        server: subprocess.Popen[bytes],
        switch: subprocess.Popen[bytes],
        datapath: DatapathType,
        logs: Path,
    ) -> None:
        self._processes = {"ovs-vswitchd": switch, "ovsdb-server": server}
        self._logs = logs
        self.vswitchd_pid = switch.pid
        self.datapath = datapath

    def ended(self) -> str | None:
        """How one of them ended, and its log; None while both run."""
        for name, process in self._processes.items():
            if (status := process.poll()) is not None:
                return ending(name, status, _log(self._logs, name))
        return None


@contextmanager
def daemons(logs: Path = RUN_DIRECTORY) -> Iterator[Daemons]:
    """Start ovsdb-server and ovs-vswitchd in this sandbox; stop them at the end.

    Args:
        logs: directory of their logs.

    Raises:
        MachineError: not inside a sandbox, where they would replace the machine's own.
        CommandError: a daemon did not come up.
        RunError: one has ended; whatever else went wrong then follows from it.
    """
    if not inside():
        raise MachineError(
            "Open vSwitch may only be started inside", "call sandbox.run_inside() first"
        )
    database = RUN_DIRECTORY / "conf.db"
    database.unlink(missing_ok=True)
    run(["ovsdb-tool", "create", str(database), str(SCHEMA)])
    door = RUN_DIRECTORY / "db.sock"
    door.unlink(missing_ok=True)
    server = _start(logs, "ovsdb-server", str(database), f"--remote=punix:{door}")
    try:
        _await(door, server, _log(logs, "ovsdb-server"))
        run(["ovs-vsctl", "--no-wait", "init"])
        switch = _start(logs, "ovs-vswitchd", f"unix:{door}")
        # frames must not wait for the nodes' processes, which share the processors
        os.setpriority(os.PRIO_PROCESS, switch.pid, -20)
        try:
            vsctl("init")
            running = Daemons(server, switch, datapath_type(), logs)
            with _blamed(running):
                yield running
        finally:
            _stop(switch)
    finally:
        _stop(server)


@contextmanager
def _blamed(running: Daemons) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if ended := running.ended():
            raise RunError(ended) from error
        raise


def vsctl(*args: str) -> str:
    """Run ovs-vsctl; it returns when the switch daemon has applied the change.

    Raises:
        CommandError: it failed, or the daemon did not answer within 30 s.
    """
    return run(["ovs-vsctl", f"--timeout={_TIMEOUT_S}", *args])


@cache
def datapath_type() -> DatapathType:
    """`system` where the kernel makes an Open vSwitch datapath for us, else `netdev`."""
    try:
        run(["ovs-dpctl", "add-dp", "probe"])
    except CommandError:
        return "netdev"
    run(["ovs-dpctl", "del-dp", "probe"])
    return "system"


def widen_packet_buffers(vswitchd_pid: int) -> None:
    """Give every AF_PACKET socket of the switch daemon room for what its queues may hold.

    The sending socket exists once the first frame was sent, so send one before.

    Raises:
        RunError: a socket's buffers read back smaller, or no socket sends yet.
    """
    senders = 0
    for packet_socket in packet_sockets(vswitchd_pid):
        with packet_socket:
            senders += _sends(packet_socket)
            for force, check in (
                (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
                (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
            ):
                packet_socket.setsockopt(socket.SOL_SOCKET, force, PACKET_BUFFER_BYTES)
                got = packet_socket.getsockopt(socket.SOL_SOCKET, check)
                if got < PACKET_BUFFER_BYTES:
                    raise RunError(
                        f"packet buffer of ovs-vswitchd is {got} bytes, not {PACKET_BUFFER_BYTES}: "
                        "run as real root (CAP_NET_ADMIN)"
                    )
    if not senders:
        raise RunError(
            "ovs-vswitchd has no sending packet socket yet: send a frame through a port first"
        )


def receive_drops(vswitchd_pid: int) -> int:
    """Frames that arrived at a switch port and found the daemon's receive buffer full."""
    total = 0
    for packet_socket in packet_sockets(vswitchd_pid):
        with packet_socket:
            memory = packet_socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 9 * 4)
            total += struct.unpack("=9I", memory)[_SK_MEMINFO_DROPS]
    return total


def packet_sockets(pid: int) -> Iterator[socket.socket]:
    """Duplicates of the AF_PACKET sockets of process `pid`; the caller closes each.

    Raises:
        OSError: no such process, or no right to look into it.
    """
    pidfd = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if not os.readlink(entry).startswith("socket:"):
                    continue
            except FileNotFoundError:
                continue  # closed since it was listed, so not one that serves a port
            descriptor = _libc.syscall(_PIDFD_GETFD, pidfd, int(entry.name), 0)
            if descriptor < 0:
                error = ctypes.get_errno()
                if error == errno.EBADF:
                    continue
                raise OSError(error, f"pidfd_getfd of process {pid}: {os.strerror(error)}")
            duplicate = socket.socket(fileno=descriptor)
            if duplicate.family == socket.AF_PACKET:
                yield duplicate
            else:
                duplicate.close()
    finally:
        os.close(pidfd)


def _sends(packet_socket: socket.socket) -> bool:
    """The sending socket serves all ports, so it is bound to no interface."""
    device: str = packet_socket.getsockname()[0]
    return device == ""


def _log(logs: Path, name: str) -> Path:
    return logs / f"{name}.log"


def _start(logs: Path, *argv: str) -> subprocess.Popen[bytes]:
    """Start a daemon as our own child, so that it needs no pid file to be found by."""
    log = _log(logs, argv[0])
    return subprocess.Popen(
        [*argv, "--no-chdir", "-vconsole:off", f"--log-file={log}"],
        stdin=subprocess.DEVNULL,
        # Ctrl-C is for the runner, which needs its switches to end in order
        start_new_session=True,
    )


def _await(door: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    # ovs-vsctl --retry would do, but it waits a whole second between attempts
    deadline = time.monotonic() + float(_TIMEOUT_S)
    while not door.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RunError(f"ovsdb-server did not open {door}; see {log}")
        time.sleep(0.002)  # noqa: TID251  between two looks


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    # its state is private and goes with the sandbox: no orderly shutdown to wait for
    daemon.kill()
    daemon.wait()
