"""What a running fabric can suffer, done to the kernel's devices and read back.

Ports go down on the switches' side: a host's own would forget its routes. Rates change in
every class of an egress, for one that was left would go on as before. Frames are lost before
they are queued: a filter before all others sends a share of them, by a random word of the
kernel's, into a class that keeps nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from math import isclose

from plan.errors import RunError
from plan.lanes import Egress
from plan.model import Plan
from topology.namespace import run
from topology.network import Network
from topology.shaping import FIRST_FILTER, RATE_TOLERANCE, class_rates, namespace, set_rates

_LOST = 0xFFF0
"""Minor number of the class that keeps nothing, and its queue's handle."""
_RANDOM_WORD = 0xFFFFF000 + 56
"""SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h."""
_LEAST_BPS = 8_000


class Injuries:
    """All that is wrong with a fabric at the moment; what overlaps adds up.

    Every method raises RunError if the kernel does not report what was asked for, and
    CommandError if it refuses.
    """

    def __init__(self, network: Network, plan: Plan) -> None:
        self._network = network
        self._plan = plan
        self._egresses = {egress.name: egress for egress in plan.egresses}
        self._downs: Counter[str] = Counter()
        self._shares: dict[str, list[float]] = {}
        self._losses: dict[str, list[float]] = {}

    def cut(self, devices: Sequence[str]) -> None:
        """Take devices of the switches down; what was cut twice has to be mended twice."""
        self._downs.update(devices)
        self._set_states(devices)

    def mend(self, devices: Sequence[str]) -> None:
        """Bring them up again."""
        self._downs.subtract(devices)
        self._set_states(devices)

    def slow(self, egress: str, share: float) -> None:
        """Leave a share of the rate of an egress, over all of its lanes."""
        self._shares.setdefault(egress, []).append(share)
        self._set_rate(self._egresses[egress])

    def quicken(self, egress: str, share: float) -> None:
        """Take that back."""
        self._shares[egress].remove(share)
        self._set_rate(self._egresses[egress])

    def lose(self, egress: str, share: float) -> None:
        """Lose a share of the frames that an egress is to send."""
        self._losses.setdefault(egress, []).append(share)
        self._set_loss(self._egresses[egress])

    def keep(self, egress: str, share: float) -> int:
        """Take that back; returns how many frames were lost."""
        self._losses[egress].remove(share)
        return self._set_loss(self._egresses[egress])

    def lost(self, egress: str) -> int:
        """Frames lost so far by what is lost there now."""
        one = self._egresses[egress]
        shown = run(["tc", "-j", "-s", "qdisc", "show", "dev", one.device], pid=self._pid(one))
        found = [q["drops"] for q in json.loads(shown) if q["kind"] == "blackhole"]
        return sum(found)

    def _pid(self, egress: Egress) -> int | None:
        return namespace(self._network, egress.host)

    def _set_states(self, devices: Sequence[str]) -> None:
        wanted = {device: "down" if self._downs[device] > 0 else "up" for device in devices}
        lines = [f"link set {device} {state}" for device, state in wanted.items()]
        run(["ip", "-batch", "-"], stdin="\n".join(lines))
        flags = {one["ifname"]: one["flags"] for one in json.loads(run(["ip", "-j", "link"]))}
        for device, state in wanted.items():
            if ("UP" in flags[device]) != (state == "up"):
                raise RunError(f"{device} is not {state}, which it was to be")

    def _set_rate(self, egress: Egress) -> None:
        share = 1.0
        for one in self._shares[egress.name]:
            share *= one
        set_rates(self._network, self._plan, egress, share)
        ceil_bps = max(self._plan.wire_bps(egress.rate_bps) * share, _LEAST_BPS)
        for minor, found_bps in class_rates(self._network, egress).items():
            if minor != _LOST and not isclose(found_bps, ceil_bps, rel_tol=RATE_TOLERANCE):
                said = f"class 1:{minor:x} of {egress.device} may send {found_bps:.0f} bit/s"
                raise RunError(f"{said}, was to send {ceil_bps:.0f}")

    def _set_loss(self, egress: Egress) -> int:
        on, pid = f"dev {egress.device}", self._pid(egress)
        lost = self.lost(egress.name)
        kept = 1.0
        for share in self._losses[egress.name]:
            kept *= 1.0 - share
        lines = []
        if lost or self._filtered(egress):
            lines = [
                f"filter del {on} parent 1: prio {FIRST_FILTER}",
                f"class del {on} parent 1: classid 1:{_LOST:x}",
            ]
        if kept < 1.0:
            rate = f"rate {_LEAST_BPS}bit ceil {self._plan.wire_bps(egress.rate_bps)}bit"
            lines += [
                f"class add {on} parent 1: classid 1:{_LOST:x} htb {rate} quantum 60000",
                f"qdisc add {on} parent 1:{_LOST:x} handle {_LOST:x}: blackhole",
                f"filter add {on} parent 1: protocol all prio {FIRST_FILTER} "
                f"bpf bytecode '{lottery(1.0 - kept)}' flowid 1:{_LOST:x}",
            ]
        run(["tc", "-batch", "-"], stdin="\n".join(lines), pid=pid)
        if self._filtered(egress) != (kept < 1.0):
            raise RunError(f"{egress.device} does not lose frames as it was to")
        return lost

    def _filtered(self, egress: Egress) -> bool:
        shown = run(
            ["tc", "filter", "show", "dev", egress.device, "parent", "1:"], pid=self._pid(egress)
        )
        return f"pref {FIRST_FILTER} bpf" in shown


def lottery(share: float) -> str:
    """Classic BPF that matches a share of all frames at random, as tc reads it."""
    limit = min(round(share * 2**32), 2**32 - 1)
    steps = [
        (0x20, 0, 0, _RANDOM_WORD),  # load a random word
        (0x35, 1, 0, limit),  # from the limit on: the second of the two returns
        (0x06, 0, 0, 2**32 - 1),
        (0x06, 0, 0, 0),
    ]
    return f"{len(steps)}," + ",".join(" ".join(map(str, step)) for step in steps)
