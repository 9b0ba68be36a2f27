"""Links of the fabric that a run records: from their names to where and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from plan.errors import ScenarioError
from plan.fabric import Fabric, Link, Nic

NEAR = 5
"""How many names an error message offers."""


@dataclass(frozen=True)
class Tap:
    """One link, recorded at a switch port.

    Attributes:
        link: its name: a NIC's, or a switch-to-switch link's.
        device: the port's interface.
        directions: their names; a NIC's are out of and into its node.
        egresses: the transmitting (host or None for switches, device) of each direction.
        side: MAC addresses whose frames to others go in the first direction. Routes never
            turn up again after they went down, so for a link these are the ends below it. A
            frame between two of them was reflected at a CNIC's leaf and is seen in both
            directions, the first one first.
    """

    link: str
    device: str
    directions: tuple[str, str]
    egresses: tuple[tuple[str | None, str], tuple[str | None, str]]
    side: frozenset[str]


def find_taps(fabric: Fabric, names: Sequence[str]) -> list[Tap]:
    """The taps of links by name, each once.

    Raises:
        ScenarioError: a name is neither a NIC's nor a link's.
    """
    nics = {nic.name: nic for nic in fabric.nics}
    links = {link.name: link for link in fabric.links}
    taps = []
    for name in dict.fromkeys(names):
        if name in nics:
            taps.append(_of_nic(nics[name]))
        elif name in links:
            taps.append(_of_link(fabric, links[name]))
        else:
            known = [*nics, *links]
            near = get_close_matches(name, known, NEAR, cutoff=0.3) or known[:NEAR]
            remedy = f"name a NIC or a link of the fabric, such as {', '.join(near)}"
            raise ScenarioError("--pcap", name, remedy, "is not in this fabric")
    return taps


def _of_nic(nic: Nic) -> Tap:
    return Tap(
        link=nic.name,
        device=nic.switch_device,
        directions=(f"out of {nic.node}", f"into {nic.node}"),
        egresses=((nic.node, nic.host_device), (None, nic.switch_device)),
        side=frozenset(end.mac for end in nic.ends),
    )


def _of_link(fabric: Fabric, link: Link) -> Tap:
    lower = next(switch for switch in fabric.switches if switch.name == link.a)
    below = {lower.name}
    if lower.level != "edge":
        below = {s.name for s in fabric.switches if (s.plane, s.pod) == (lower.plane, lower.pod)}
    return Tap(
        link=link.name,
        device=link.a_device,
        directions=link.directions,
        egresses=((None, link.a_device), (None, link.b_device)),
        side=frozenset(e.mac for nic in fabric.nics if nic.switch in below for e in nic.ends),
    )
