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
import resource
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from plan.endings import ending
from plan.errors import CommandError, MachineError, RunError
from topology.namespace import run
from topology.priority import Rank, prefer
from topology.sandbox import inside

RUN_DIRECTORY = Path("/var/run/openvswitch")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PACKET_BUFFER_BYTES = 512 * 2**20

CORES_PER_DAEMON = 4

DatapathType = Literal["system", "netdev"]

_PIDFD_GETFD = 438
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_SK_MEMINFO_DROPS = 8
_TIMEOUT_S = "30"
_CLOSERS = 64
_libc = ctypes.CDLL(None, use_errno=True)
_KEEPS_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**24),
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=64",
}
"""For every poll of every port the daemon takes buffers for 32 frames, and gives them back: more
pieces at a time than the C library keeps at hand by itself. It would also hand them on to the
kernel each time, and page faults cost more than forwarding."""


class _Pair(NamedTuple):
    """A database and the switch daemon that serves it, and where their sockets are."""

    directory: Path
    server: subprocess.Popen[bytes]
    switch: subprocess.Popen[bytes]


class Daemons:
    """Running Open vSwitch: one switch daemon or several, each with a database of its own.

    Bridges of different daemons meet as those of one do, over their veth pairs.

    Attributes:
        vswitchd_pids: of the switch daemons' processes.
        directories: of their sockets, in the same order.
        datapath: its kind.
    """

    def __init__(self, pairs: Sequence[_Pair], datapath: DatapathType, logs: Path) -> None:
        self._pairs = pairs
        self._logs = logs
        self.vswitchd_pids = tuple(pair.switch.pid for pair in pairs)
        self.directories = tuple(pair.directory for pair in pairs)
        self.datapath = datapath
        self._over = False
        self._ended: str | None = None

    def ended(self) -> str | None:
        """How one of them ended, and its log; None while all run, or until `end` ended them."""
        if self._over:
            return self._ended
        for number, pair in enumerate(self._pairs):
            for program, process in (("ovs-vswitchd", pair.switch), ("ovsdb-server", pair.server)):
                if (status := process.poll()) is not None:
                    return ending(program, status, _log(self._logs, program, number))
        return None

    def end(self) -> None:
        """End all; a userspace datapath is gone with its daemon, bridges, ports and all."""
        self._ended, self._over = self.ended(), True
        for pair in self._pairs:
            _stop_switch(pair.switch)
            _stop(pair.server)


@contextmanager
def daemons(logs: Path = RUN_DIRECTORY, count: int = 1) -> Iterator[Daemons]:
    """Start pairs of ovsdb-server and ovs-vswitchd in this sandbox; stop them at the end.

    Args:
        logs: directory of their logs.
        count: of pairs; where the kernel forwards, one is all there is to do.

    Raises:
        MachineError: not inside a sandbox, where they would replace the machine's own.
        CommandError: a daemon did not come up.
        RunError: one has ended; whatever else went wrong then follows from it.
    """
    if not inside():
        raise MachineError(
            "Open vSwitch may only be started inside", "call sandbox.run_inside() first"
        )
    with ExitStack() as stack:
        servers = [_start_server(logs, number, stack) for number in range(count)]
        pairs = [
            _Pair(directory, server, _start_switch(logs, number, directory, stack))
            for number, (directory, server) in enumerate(servers)
        ]
        for directory, _ in servers:
            vsctl("init", directory=directory)
        running = Daemons(pairs, datapath_type(), logs)
        with _blamed(running):
            yield running


def daemons_wanted(switches: int) -> int:
    """How many switch daemons this machine should run for so many switches.

    Each forwards in one thread. Where processors are few, several only take them from each other
    and from the nodes; where the kernel forwards, there is nothing to share out.
    """
    if datapath_type() == "system":
        return 1
    return max(1, min(len(os.sched_getaffinity(0)) // CORES_PER_DAEMON, switches))


@contextmanager
def _blamed(running: Daemons) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if ended := running.ended():
            raise RunError(ended) from error
        raise


def _start_server(
    logs: Path, number: int, stack: ExitStack
) -> tuple[Path, subprocess.Popen[bytes]]:
    """A database with its server; the first one has the directory where programs look."""
    directory = RUN_DIRECTORY / str(number) if number else RUN_DIRECTORY
    directory.mkdir(exist_ok=True)
    database, door = directory / "conf.db", directory / "db.sock"
    for left in (database, door):
        left.unlink(missing_ok=True)
    run(["ovsdb-tool", "create", str(database), str(SCHEMA)])
    log = _log(logs, "ovsdb-server", number)
    server = _start(log, directory, "ovsdb-server", str(database), f"--remote=punix:{door}")
    stack.callback(_stop, server)
    _await(door, server, log)
    vsctl("--no-wait", "init", directory=directory)
    return directory, server


def _start_switch(
    logs: Path, number: int, directory: Path, stack: ExitStack
) -> subprocess.Popen[bytes]:
    log = _log(logs, "ovs-vswitchd", number)
    switch = _start(log, directory, "ovs-vswitchd", f"unix:{directory / 'db.sock'}")
    stack.callback(_stop_switch, switch)
    prefer(switch.pid, Rank.SWITCH)
    return switch


def vsctl(*args: str, directory: Path = RUN_DIRECTORY) -> str:
    """Run ovs-vsctl; it returns when the switch daemon has applied the change.

    Args:
        directory: of the daemon's sockets.

    Raises:
        CommandError: it failed, or the daemon did not answer within 30 s.
    """
    database = f"--db=unix:{directory / 'db.sock'}"
    return run(["ovs-vsctl", database, f"--timeout={_TIMEOUT_S}", *args])


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


def _log(logs: Path, program: str, number: int) -> Path:
    return logs / (f"{program}-{number}.log" if number else f"{program}.log")


def _start(log: Path, directory: Path, *argv: str) -> subprocess.Popen[bytes]:
    """Start a daemon as our own child, so that it needs no pid file to be found by."""
    return subprocess.Popen(
        [*argv, "--no-chdir", "-vconsole:off", f"--log-file={log}"],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **_KEEPS_MEMORY, "OVS_RUNDIR": str(directory)},
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


def _stop_switch(switch: subprocess.Popen[bytes]) -> None:
    """End it soon: the kernel waits some 12 ms over every packet socket that is closed, and it
    waits for many at a time, but not when a dying process leaves them to it one by one."""
    if switch.poll() is None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
        with ThreadPoolExecutor(_CLOSERS) as pool:
            sockets = list(packet_sockets(switch.pid))
            _stop(switch)
            list(pool.map(socket.socket.close, sockets))
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    # its state is private and goes with the sandbox: no orderly shutdown to wait for
    daemon.kill()
    daemon.wait()
