"""How full storage NICs are while a run goes on: what progress is shown with."""

from __future__ import annotations

from collections.abc import Mapping

from plan.model import Plan


class SnicWatch:
    """Read use of the prefill and decode SNICs between two looks."""

    def __init__(self, plan: Plan) -> None:
        self._nics = plan.fabric.engine_snics
        self._last: tuple[float, Mapping[str, tuple[float, float]]] | None = None

    def look(self, t_s: float, nics: Mapping[str, tuple[float, float]]) -> dict[str, float]:
        """By node, the share (0..1) of its SNIC's rate since the last look; nothing at first.

        Args:
            t_s: now, model seconds.
            nics: model bytes out of and into the node so far, by NIC.
        """
        last, self._last = self._last, (t_s, nics)
        if last is None or t_s == last[0]:
            return {}
        elapsed_s = t_s - last[0]
        return {
            nic.node: (nics[nic.name][1] - last[1][nic.name][1]) * 8 / (nic.rate_bps * elapsed_s)
            for nic in self._nics
        }
