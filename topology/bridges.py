"""The bridges of every switch daemon: which are whose, how they come and go.

A daemon's userspace datapath makes a device of its own in our namespace, of one fixed name. So
each is renamed before the next daemon makes its first bridge; it holds no traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mininet.node import OVSSwitch

from plan.fabric import Fabric
from topology.namespace import run
from topology.ovs import RUN_DIRECTORY, vsctl

Homes = Mapping[Path, Sequence[str]]
"""Names of the bridges of every daemon, by the directory of its sockets."""

_DATAPATH = "ovs-netdev"
_DOOR = ".mgmt"
"""Of the socket at which Open vSwitch answers for a bridge."""
_FRAME = "ffffffffffff" + "020000000000" + "88b5" + "00" * 46


def homes(fabric: Fabric, directories: Sequence[Path]) -> Homes:
    """Share the fabric's switches out to daemons.

    They take turns, so that neighbours, which carry the same frames, have different ones.
    """
    names = [switch.name for switch in fabric.switches]
    count = min(len(directories), len(names))
    return {home: names[i::count] for i, home in enumerate(directories[:count])}


def start(found: Homes, switches: Mapping[str, OVSSwitch], controller: object) -> None:
    """Make all bridges, with their ports and controller.

    Raises:
        CommandError: Open vSwitch refused one.
    """
    for number, (home, names) in enumerate(found.items()):

        def shell(command: str, shell: bool, home: Path = home) -> None:  # noqa: ARG001, FBT001
            """Mininet's own runner prints a failure and goes on."""
            run(["sh", "-c", f"OVS_RUNDIR={home} {command}"])

        for name in names:
            switches[name].start([controller])
        OVSSwitch.batchStartup([switches[name] for name in names], run=shell)
        if len(found) > 1:
            run(["ip", "link", "set", _DATAPATH, "name", f"{_DATAPATH}{number}"])
        if home != RUN_DIRECTORY:
            # programs look for a bridge where the first daemon has its own
            for bridge in names:
                door = (RUN_DIRECTORY / bridge).with_suffix(_DOOR)
                door.unlink(missing_ok=True)
                door.symlink_to(home / door.name)


def remove(found: Homes, *, wait: bool) -> None:
    """Remove all bridges and what `del-br` leaves behind.

    Args:
        wait: until the daemons have let go of their ports.
    """
    how = () if wait else ("--no-wait",)
    for home, names in found.items():
        gone = [word for name in names for word in ("--", "--if-exists", "del-br", name)]
        vsctl(*how, *gone, directory=home)
        rows = ("--all", "destroy", "QoS", "--", "--all", "destroy", "Queue")
        vsctl(*how, *rows, directory=home)


def send_first_frames(found: Homes, fabric: Fabric) -> None:
    """Have every daemon send a frame, out of any of its ports: it has a socket for it then."""
    ports = {link.b: link.b_port for link in fabric.links}
    ports |= {link.a: link.a_port for link in fabric.links}
    ports |= {nic.switch: nic.port for nic in fabric.nics}
    for bridge, *_ in found.values():
        run(
            [
                *("ovs-ofctl", "-O", "OpenFlow13", "packet-out", bridge),
                f"in_port=LOCAL packet={_FRAME} actions=output:{ports[bridge]}",
            ]
        )
