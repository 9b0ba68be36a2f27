"""The fabric as a running Mininet network: namespaces, NICs, addresses and switches.

A node is a namespace for the host (its DRAM) and one per GPU (its HBM). A CNIC is a veth
pair into its leaf switch whose host side carries two macvlan devices in VEPA mode: the
DRAM end stays with the host, the HBM end moves to the GPU. VEPA sends even frames from
one to the other out of the veth, and the leaf reflects them, so a local copy crosses the
CNIC once as a read and once as a write (paper section 1).

A host has one DRAM end per CNIC, all in one subnet. A socket picks its CNIC by binding to
the end's address; unbound, it has no route, rather than the wrong one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from mininet.cli import CLI
from mininet.log import setLogLevel
from mininet.net import Mininet

from plan.fabric import End, Fabric, Link, Nic
from topology import bridges, tcp
from topology.mininet_parts import Bridge, Cable, Controller, Host
from topology.namespace import entered, run
from topology.offloads import switch_off
from topology.ovs import Daemons, widen_packet_buffers

_HOSTS = Path("/etc/hosts")
_LOG_LEVEL = "warning"
_FIRST_TABLE = 100
_STOP_GRACE_S = 2.0
_GROUP = 1
"""Of all devices of the switches, so that the kernel can do a thing to all at once."""


class Network:
    """A running fabric; a context manager, inside a sandbox and beside OVS daemons.

    Args:
        fabric: what to build.
        daemons: the running Open vSwitch.
        controller_port: TCP port of the OpenFlow controller on 127.0.0.1 in the sandbox.
        lossless: False has TCP expect that frames get lost, and send them again soon.

    Raises:
        CommandError: the kernel or Open vSwitch refused a step; the message says which.
    """

    def __init__(
        self, fabric: Fabric, daemons: Daemons, controller_port: int, *, lossless: bool = True
    ) -> None:
        self.fabric = fabric
        self._lossless = lossless
        self.daemons = daemons
        self._controller = Controller(controller_port)
        self._started: list[subprocess.Popen[bytes]] = []
        self._namespaces: dict[str, int] = {}
        self._homes = bridges.homes(fabric, daemons.directories)
        # its init() would set sysctls of the whole machine
        Mininet.inited = True
        setLogLevel(_LOG_LEVEL)
        self._mininet = Mininet(build=False, controller=None)

    def __enter__(self) -> Self:
        self._name_ends()
        self._add_hosts()
        self._make_pairs()
        for host in self._namespaces:
            self._configure_host(host)
        self._add_switches()
        self._add_links()
        bridges.start(self._homes, self._mininet.nameToNode, self._controller)
        if self.daemons.datapath == "netdev":
            bridges.send_first_frames(self._homes, self.fabric)
            for pid in self.daemons.vswitchd_pids:
                widen_packet_buffers(pid)
        return self

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        # an error may be that the switch daemon stands still: do not wait for it then
        self.close(wait=error is None)

    @property
    def databases(self) -> dict[str, Sequence[str]]:
        """The switches of every database of Open vSwitch, by its address."""
        return {f"unix:{home / 'db.sock'}": names for home, names in self._homes.items()}

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts (namespaces): nodes and GPUs, in construction order."""
        return tuple(self._namespaces)

    def namespace_pid(self, host: str) -> int:
        """A process whose /proc/PID/ns/net is the namespace of `host`.

        Raises:
            KeyError: there is no such host.
        """
        return self._namespaces[host]

    def popen(self, host: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process in the namespace of `host`; `close()` ends it if it still runs.

        Args:
            options: of subprocess.Popen.

        Raises:
            KeyError: there is no such host.
            OSError: the program can't be started.
        """
        with entered(self.namespace_pid(host)):
            process = subprocess.Popen(argv, **options)
        self._started.append(process)
        return process

    def set_link(self, link: Link, *, up: bool) -> None:
        """Take both ends of a switch-to-switch link down, or bring them up."""
        state = "up" if up else "down"
        _ip(f"link set {device} {state}" for device in (link.a_device, link.b_device))

    def cli(self) -> None:
        """Mininet's prompt, until the user leaves it."""
        # its history would go to the user's home
        CLI.readlineInited = True
        setLogLevel("output")
        try:
            CLI(self._mininet)
        finally:
            setLogLevel(_LOG_LEVEL)

    def close(self, *, wait: bool = True) -> None:
        """End what was started here and remove switches, links and namespaces.

        A run that is over need not: the end of the sandbox does it sooner.

        Args:
            wait: until the kernel's switch has let go of its ports.
        """
        _end(self._started)
        if self.daemons.datapath == "netdev":
            # ports that go one by one keep a daemon busy for longer than the run had it
            self.daemons.end()
        elif self.daemons.ended() is None:
            bridges.remove(self._homes, wait=wait)
        run(["ip", "link", "del", "group", str(_GROUP)])
        for node in [*self._mininet.hosts, *self._mininet.switches]:
            if node.shell is not None:
                node.shell.kill()
            node.cleanup()

    def _name_ends(self) -> None:
        """Make host names of the ends' names, for all programs in this sandbox.

        A namespace made after it sees them: each host has mounts of its own.
        """
        names = "".join(f"{end.ip} {name}\n" for name, end in self.fabric.ends().items())
        hosts = Path("/run/hosts")
        hosts.write_text(f"127.0.0.1 localhost\n{names}")
        if not hosts.samefile(_HOSTS):
            run(["mount", "--bind", str(hosts), str(_HOSTS)])

    def _add_hosts(self) -> None:
        names = [name for node in self.fabric.nodes for name in (node.name, *node.gpu_hosts)]
        for host in [self._mininet.addHost(name, cls=Host, ip=None) for name in names]:
            host.await_namespaces()
            self._namespaces[host.name] = host.pid
            tcp.tune(host.pid, lossless=self._lossless)

    def _add_switches(self) -> None:
        for switch in self.fabric.switches:
            self._mininet.addSwitch(
                switch.name,
                cls=Bridge,
                dpid=f"{switch.dpid:016x}",
                datapath="user" if self.daemons.datapath == "netdev" else "kernel",
                protocols="OpenFlow13",
                failMode="secure",
                batch=True,
            )

    def _add_links(self) -> None:
        node = self._mininet.nameToNode
        for nic in self.fabric.nics:
            self._mininet.addLink(
                node[nic.node],
                node[nic.switch],
                cls=Cable,
                port2=nic.port,
                intfName1=nic.host_device,
                intfName2=nic.switch_device,
            )
        for link in self.fabric.links:
            self._mininet.addLink(
                node[link.a],
                node[link.b],
                cls=Cable,
                port1=link.a_port,
                port2=link.b_port,
                intfName1=link.a_device,
                intfName2=link.b_device,
            )

    def _make_pairs(self) -> None:
        """Every NIC's and link's veth pair: the hosts' ends in their namespaces, not yet up."""
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        both, links = f"mtu {self.fabric.mtu}", self.fabric.links
        here = f"{both} group {_GROUP}"
        peers = [
            (nic.switch_device, nic.host_device, f"netns {self._namespaces[nic.node]}")
            for nic in self.fabric.nics
        ]
        peers += [(link.a_device, link.b_device, f"group {_GROUP}") for link in links]
        _ip(
            f"link add name {device} {here} type veth peer name {peer} {both} {where}"
            for device, peer, where in peers
        )
        switch_off(nic.switch_device for nic in self.fabric.nics)
        switch_off(device for link in links for device in (link.a_device, link.b_device))
        run(["ip", "link", "set", "group", str(_GROUP), "up"])

    def _configure_host(self, host: str) -> None:
        ends = [(nic, end) for nic in self.fabric.nics for end in nic.ends if end.host == host]
        parents = [nic for nic in self.fabric.nics if nic.node == host]
        pid = self._namespaces[host]
        with entered(pid):
            switch_off(nic.host_device for nic in parents)
            # a GPU's device was made by its host, which comes first in the fabric's order
            _ip(
                (
                    "link set lo up",
                    *(line for nic in parents for line in self._parent_lines(nic)),
                    *(
                        line
                        for table, (nic, end) in enumerate(ends, _FIRST_TABLE)
                        for line in self._end_lines(nic, end, table)
                    ),
                )
            )

    def _parent_lines(self, nic: Nic) -> Iterable[str]:
        yield f"link set {nic.host_device} up"
        if nic.kind == "cnic":
            for end in nic.ends:
                yield (
                    f"link add link {nic.host_device} name {end.device} address {end.mac} "
                    f"netns {self._namespaces[end.host]} mtu {self.fabric.mtu} "
                    "type macvlan mode vepa"
                )
        else:
            yield f"link set {nic.host_device} address {nic.ends[0].mac}"

    def _end_lines(self, nic: Nic, end: End, table: int) -> Iterable[str]:
        # one segment a frame, or queues would be handed 64 KB at once, and lanes with them
        yield f"link set {end.device} gso_max_segs 1 up"
        yield f"addr add {end.ip}/16 dev {end.device} noprefixroute"
        shares_subnet = nic.kind == "cnic" and end.host == nic.node
        where = f"table {table}" if shares_subnet else ""
        if shares_subnet:
            yield f"rule add from {end.ip} table {table}"
        options = tcp.route_options(lossless=self._lossless)
        subnet = ".".join(end.ip.split(".")[:2]) + ".0.0/16"
        yield (f"route add {subnet} dev {end.device} src {end.ip} {where} {options}")
        for peer_nic in self.fabric.nics:
            if peer_nic.kind == nic.kind:
                for peer in peer_nic.ends:
                    if peer.host != end.host:
                        yield (
                            f"neigh add {peer.ip} lladdr {peer.mac} dev {end.device} nud permanent"
                        )


def _ip(lines: Iterable[str]) -> None:
    run(["ip", "-batch", "-"], stdin="\n".join(lines))


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(_STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    processes.clear()
