"""Links of the fabric that a run records: from their names to where and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from plan.errors import ScenarioError
from plan.fabric import Fabric, Link, Nic
from plan.lanes import Egress
from plan.model import Plan
from plan.names import into, out_of

NEAR = 5
"""How many names an error message offers."""


@dataclass(frozen=True)
class Tap:
    """One link, recorded at a switch port.

    Attributes:
        link: its name: a NIC's, or a switch-to-switch link's.
        device: the port's interface.
        directions: their names; a NIC's are out of and into its node.
        egresses: the transmitting one of each direction.
        side: MAC addresses whose frames to others go in the first direction. Routes never
            turn up again after they went down, so for a link these are the ends below it. A
            frame between two of them was reflected at a CNIC's leaf and is seen in both
            directions, the first one first.
    """

    link: str
    device: str
    directions: tuple[str, str]
    egresses: tuple[Egress, Egress]
    side: frozenset[str]


def find_taps(plan: Plan, names: Sequence[str]) -> list[Tap]:
    """The taps of links by name, each once.

    Raises:
        ScenarioError: a name is neither a NIC's nor a link's.
    """
    nics = {nic.name: nic for nic in plan.fabric.nics}
    links = {link.name: link for link in plan.fabric.links}
    egresses = {egress.name: egress for egress in plan.egresses}
    taps = []
    for name in dict.fromkeys(names):
        if name in nics:
            taps.append(_of_nic(nics[name], egresses))
        elif name in links:
            taps.append(_of_link(plan.fabric, links[name], egresses))
        else:
            known = [*nics, *links]
            near = get_close_matches(name, known, NEAR, cutoff=0.3) or known[:NEAR]
            remedy = f"name a NIC or a link of the fabric, such as {', '.join(near)}"
            raise ScenarioError("--pcap", name, remedy, "is not in this fabric")
    return taps


def _of_nic(nic: Nic, egresses: Mapping[str, Egress]) -> Tap:
    return Tap(
        link=nic.name,
        device=nic.switch_device,
        directions=(f"out of {nic.node}", f"into {nic.node}"),
        egresses=(egresses[out_of(nic.name)], egresses[into(nic.name)]),
        side=frozenset(end.mac for end in nic.ends),
    )


def _of_link(fabric: Fabric, link: Link, egresses: Mapping[str, Egress]) -> Tap:
    there, back = link.directions
    lower = next(switch for switch in fabric.switches if switch.name == link.a)
    below = {lower.name}
    if lower.level != "edge":
        below = {s.name for s in fabric.switches if (s.plane, s.pod) == (lower.plane, lower.pod)}
    return Tap(
        link=link.name,
        device=link.a_device,
        directions=(there, back),
        egresses=(egresses[there], egresses[back]),
        side=frozenset(e.mac for nic in fabric.nics if nic.switch in below for e in nic.ends),
    )
