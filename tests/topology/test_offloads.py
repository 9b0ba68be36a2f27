"""Claims: offloads are off, by the kernel's own word."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from topology import offloads
from topology.namespace import run

pytestmark = pytest.mark.network

DEVICES = ("plain0", "plain1")


@pytest.fixture
def pair() -> Iterator[None]:
    run(f"ip link add name {DEVICES[0]} type veth peer name {DEVICES[1]}".split())
    yield
    run(["ip", "link", "del", DEVICES[0]])


def on(device: str) -> set[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        return {
            feature
            for feature, (read, _) in offloads._FEATURES.items()
            if offloads._ask(door, device, read)
        }


@pytest.mark.usefixtures("pair")
def test_all_are_off_of_the_devices_that_are_named() -> None:
    before = {device: on(device) for device in DEVICES}
    assert {"tx checksums", "tcp segmentation"} <= before[DEVICES[1]]
    offloads.switch_off(DEVICES[:1])
    assert on(DEVICES[0]) == set()
    assert "tx checksums" in on(DEVICES[1])


def test_a_device_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="No such device"):
        offloads.switch_off(["nosuch0"])
