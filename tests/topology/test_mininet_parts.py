"""Claims about nodes whose shells come late."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from topology.mininet_parts import Bridge, Host

pytestmark = pytest.mark.network


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host("host")
    made.await_namespaces()
    yield made
    end(made)


def end(node: Any) -> None:
    if node.shell is not None:
        node.shell.kill()
    node.cleanup()


def test_a_host_has_namespaces_before_it_has_a_shell(host: Host) -> None:
    assert host.shell is None
    assert os.readlink(f"/proc/{host.pid}/ns/net") != os.readlink("/proc/self/ns/net")


def test_its_shell_is_in_them(host: Host) -> None:
    namespaces = [os.readlink(f"/proc/{host.pid}/ns/{kind}") for kind in ("net", "mnt")]
    assert host.cmd("readlink /proc/self/ns/net /proc/self/ns/mnt").split() == namespaces
    assert host.cmd("echo again") == "again\r\n"


def test_a_switch_has_a_shell_with_its_first_command() -> None:
    bridge = Bridge("bridge0", dpid="1", inNamespace=False)
    assert bridge.shell is None
    assert bridge.cmd("echo here") == "here\r\n"
    end(bridge)
