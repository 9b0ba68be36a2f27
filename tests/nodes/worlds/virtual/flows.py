"""Transfers in the modelled network as futures, for programs that wait for them."""

from __future__ import annotations

import asyncio

from nodes.worlds.virtual.flow_network import FlowNetwork
from plan.lanes import TrafficClass


def sent(
    network: FlowNetwork, source: str, target: str, traffic: TrafficClass, size_bytes: float
) -> asyncio.Future[None]:
    """Send bytes; the future is done when the last one has arrived."""
    arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def arrived() -> None:
        if not arrival.done():
            arrival.set_result(None)

    network.transfer(source, target, traffic, size_bytes, arrived)
    return arrival
