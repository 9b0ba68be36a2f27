"""The sentence that a report opens with: who won, by how much and why, from the figures."""

from __future__ import annotations

from collections.abc import Sequence

from plan.deployment import System
from plan.fabric import NodeKind
from plan.model import Plan
from scenarios.configuration.systems import BASELINE, title
from scenarios.results.summary import Summary, SystemSummary

SAME = 1.02
"""Completion times within 2 % are called the same."""
BUSY, IDLE = 0.6, 0.1
"""Mean SNIC use from which on, and up to which, it is called busy and idle. A system that reads and
computes in turn keeps no NIC full, and reading may be most of what it does all the same."""


def headline(plan: Plan, systems: Sequence[System], summary: Summary) -> str:
    """Who won, against the baseline if it ran, else the slowest; the Oracle does not compete."""
    times = {
        system.name: jct_s
        for system in systems
        if system.io
        and summary.systems[system.name].fidelity.complete
        and (jct_s := summary.systems[system.name].jct_s)
    }
    if not times and (said := _service(systems, summary)):
        return said
    if not times:
        return "No system served its whole workload, so there is nothing to compare."
    best = min(times, key=times.__getitem__)
    other = BASELINE if BASELINE in times else max(times, key=times.__getitem__)
    if best == other:
        first = f"{_capital(title(best))} served the workload in {times[best]:.4g} s of model time"
        if len(times) > 1:
            first += ", and no other system was faster"
        why = _use(plan, best, summary)
    else:
        first = _comparison(best, other, times)
        why = _why(plan, best, other, summary)
    oracle = _oracle(best, times[best], systems, summary)
    return f"{first}{f': {why}' if why else ''}.{oracle}"


def _service(systems: Sequence[System], summary: Summary) -> str:
    """Who kept the SLO, where agents came without end."""
    said = []
    for system in systems:
        figures = summary.systems[system.name]
        service, ttft, tpot = figures.service, figures.ttft_s, figures.tpot_s
        came = figures.working_set.arrivals_per_s if figures.working_set else 0.0
        if service is None or ttft is None or not figures.fidelity.complete:
            continue
        times = f"mean TTFT {ttft.mean:.3g} s"
        if tpot is not None:
            times += f", TPOT {1e3 * tpot.mean:.3g} ms"
        kept = "kept" if service.met else "did not keep"
        rises = ", but TTFT still rose at the end" if service.met and figures.ttft_rising else ""
        said.append(
            f"{title(system.name)} {kept} the SLO{rises} with {came:.3g} agents a second ({times}; "
            f"{service.share:.0%} of requests within it)"
        )
    text = "; ".join(said)
    return f"{_capital(text)}." if text else ""


def _comparison(best: str, other: str, times: dict[str, float]) -> str:
    ratio = times[other] / times[best]
    seconds = f"{times[best]:.4g} s against {times[other]:.4g} s of model time"
    if ratio < SAME:
        return f"{_capital(title(best))} and {title(other)} finished together ({seconds})"
    return f"{_capital(title(best))} finished {ratio:.2f}x faster than {title(other)} ({seconds})"


def _why(plan: Plan, best: str, other: str, summary: Summary) -> str:
    winner, loser = summary.systems[best], summary.systems[other]
    if not (winner.snic and loser.snic):
        return ""
    prefill, decode = _side_use(plan, "prefill", loser), _side_use(plan, "decode", loser)
    pe, de = _noun(plan, "prefill"), _noun(plan, "decode")
    if prefill < BUSY and decode < BUSY:
        return f"storage bandwidth did not hold {title(other)} back, {_use(plan, other, summary)}"
    if decode < IDLE:
        through = (
            f"{title(other)} read its KV-Cache through the {pe} ({prefill:.0%} busy) while the "
            f"{de} idled ({decode:.1%})"
        )
    else:
        through = f"under {title(other)}, {_use(plan, other, summary)}"
    first, second = _side_use(plan, "prefill", winner), _side_use(plan, "decode", winner)
    if second < IDLE:
        return f"{through}, and so did {title(best)} ({first:.0%} and {second:.1%})"
    return f"{through}; {title(best)} read through both ({first:.0%} and {second:.0%} busy)"


def _use(plan: Plan, system: str, summary: Summary) -> str:
    figures = summary.systems[system]
    if not figures.snic:
        return ""
    prefill, decode = _side_use(plan, "prefill", figures), _side_use(plan, "decode", figures)
    return (
        f"the {_noun(plan, 'prefill')} {prefill:.0%} and the {_noun(plan, 'decode')} "
        f"{decode:.1%} busy reading"
    )


def _oracle(best: str, best_s: float, systems: Sequence[System], summary: Summary) -> str:
    for system in systems:
        oracle = summary.systems[system.name]
        if not system.io and oracle.fidelity.complete and oracle.jct_s:
            return (
                f" Without any I/O at all, {title(system.name)} needed {oracle.jct_s:.4g} s: "
                f"{title(best)} took {best_s / oracle.jct_s:.2f} times that."
            )
    return ""


def _side_use(plan: Plan, kind: NodeKind, figures: SystemSummary) -> float:
    nodes = plan.fabric.nodes_of(kind)
    return sum(figures.snic[node.name].utilisation for node in nodes) / len(nodes)


def _noun(plan: Plan, kind: NodeKind) -> str:
    return f"{kind} SNIC{'s' if len(plan.fabric.nodes_of(kind)) > 1 else ''}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
