"""What Mininet's parts do differently here.

Mininet takes a shell for every node and runs `ifconfig` in it for every interface. A large fabric
has hundreds of both, so interfaces are made all at once, by us, and a node has a shell when
somebody at the prompt wants one.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

from mininet.link import Intf, Link
from mininet.node import Node, OVSSwitch

from plan.errors import RunError

# Mininet has no types:
# mypy: disable-error-code="misc"


@dataclass(frozen=True)
class Controller:
    """Where the switches find their controller, in the shape Mininet asks for."""

    port: int
    name: str = "controller"
    protocol: str = "tcp"

    def IP(self) -> str:  # noqa: N802  Mininet's name
        return "127.0.0.1"


class _Late(Node):
    """A node that starts its shell with the first command for it."""

    _made = False

    def __init__(self, *args: Any, **options: Any) -> None:
        self.stdin = None
        super().__init__(*args, **options)
        self._made = True

    def startShell(self, mnopts: str | None = None) -> None:  # noqa: ARG002, N802  Mininet's name
        """Not yet."""
        self.shell = self.stdin = None
        self.waiting = False

    def sendCmd(self, *command: Any, **options: Any) -> Any:  # noqa: N802  Mininet's name
        if self.stdin is None:
            self._start_shell()
        return super().sendCmd(*command, **options)

    def cmd(self, *command: Any, **options: Any) -> Any:
        if not self._made:
            # that the loopback is up, which it is
            return ""
        self.sendCmd(*command, **options)
        return self.waitOutput(options.get("verbose", False))

    def _start_shell(self) -> None:
        super().startShell()


class Host(_Late):
    """A host: until it has a shell, a process that sleeps holds its namespaces.

    Addresses belong to ends, which Mininet does not know: at its prompt a host's name, which
    it would replace by that of the host's first interface, stays as it is.
    """

    def startShell(self, mnopts: str | None = None) -> None:  # noqa: N802  Mininet's name
        super().startShell(mnopts)
        self.holder = subprocess.Popen(
            ["mnexec", "-np", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self.holder.pid

    def await_namespaces(self) -> None:
        """Until they are there.

        Raises:
            RunError: the kernel made none.
        """
        assert self.holder.stdout is not None
        with self.holder.stdout as told:
            if not told.readline():
                raise RunError(f"no namespaces for host {self.name}: mnexec failed")

    def cleanup(self) -> None:
        super().cleanup()
        self.holder.kill()
        self.holder.wait()

    def defaultIntf(self) -> Host:  # noqa: N802  Mininet's name
        return self

    def updateIP(self) -> None:  # noqa: N802  Mininet's name
        """None: there is no address to tell."""

    def _start_shell(self) -> None:
        # its namespaces are the holder's
        self.inNamespace = False
        Node.startShell(self, f"-cda{self.holder.pid}")


class Bridge(_Late, OVSSwitch):
    """A switch."""


class Device(Intf):
    """An interface that is there already, and set up by its network."""

    def config(self, **_: Any) -> dict[str, Any]:
        return {}


class Cable(Link):
    """Two interfaces that are there already."""

    def __init__(self, *ends: Any, **options: Any) -> None:
        super().__init__(*ends, **options | {"intf": Device})

    @classmethod
    def makeIntfPair(cls, *_: Any, **__: Any) -> None:  # noqa: N802  Mininet's name
        """Nothing: all pairs were made at once."""
