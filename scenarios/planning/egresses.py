"""Everything that transmits in a fabric, by name."""

from __future__ import annotations

from plan.fabric import Fabric
from plan.lanes import Egress
from plan.names import into, out_of


def host_egresses(fabric: Fabric) -> list[Egress]:
    """Host sides of all NICs (of a CNIC the parent, which DRAM and HBM share)."""
    return [
        Egress(
            name=out_of(nic.name),
            host=nic.node,
            device=nic.host_device,
            port=None,
            rate_bps=nic.rate_bps,
        )
        for nic in fabric.nics
    ]


def switch_egresses(fabric: Fabric) -> list[Egress]:
    """All switch ports: towards NICs, then both ends of every link."""
    ports = [
        (into(nic.name), nic.switch_device, (nic.switch, nic.port), nic.rate_bps)
        for nic in fabric.nics
    ]
    for link in fabric.links:
        there, back = link.directions
        ports.append((there, link.a_device, (link.a, link.a_port), link.rate_bps))
        ports.append((back, link.b_device, (link.b, link.b_port), link.rate_bps))
    return [
        Egress(name=name, host=None, device=device, port=port, rate_bps=rate_bps)
        for name, device, port, rate_bps in ports
    ]


def all_egresses(fabric: Fabric) -> tuple[Egress, ...]:
    """All of a fabric's egresses, those at hosts first."""
    return (*host_egresses(fabric), *switch_egresses(fabric))
