"""How agents arrive, think, and when the run ends: from a scenario to a plan."""

from __future__ import annotations

from pathlib import Path

from plan.arrivals import Arrivals, Gaps
from plan.end import End, Steady
from plan.errors import ScenarioError, TraceError
from scenarios.configuration.checks import check_rates
from scenarios.configuration.online import PAPERS_END, Gap
from scenarios.configuration.schema import Scenario, Workload
from scenarios.workload.trace_files import TraceFiles

MAX_RATES = 100_000
"""Lines of a file of rates: a week has as many steps of six seconds."""


def arrivals_of(workload: Workload, first_round: int) -> Arrivals | None:
    """How agents arrive; None where they start together.

    Args:
        first_round: tokens of the synthetic round before a trajectory that is replayed again.

    Raises:
        ScenarioError: the file of rates is not one.
    """
    chosen = workload.arrivals
    if chosen is None:
        return None
    rates: tuple[tuple[float, float], ...] = ()
    if chosen.rate:
        rates = ((0.0, float(chosen.rate)),)
    elif chosen.steps:
        rates = tuple((float(at_s), float(rate)) for at_s, rate in chosen.steps)
    elif chosen.file:
        rates = read_rates(Path(chosen.file))
    return Arrivals(rates=rates, cv=chosen.cv, first_round=first_round)


def read_rates(path: Path) -> tuple[tuple[float, float], ...]:
    """(from, agents per second) of a CSV file, a line each; the first line may be a heading.

    Raises:
        ScenarioError: it cannot be read, a line is not two numbers from 0 on, or they are out
            of order or too many.
    """
    key, rates = "workload.arrival.file", []
    try:
        for number, line in TraceFiles(path).lines(path):
            text = line.decode(errors="replace").strip()
            try:
                at_s, rate = (float(cell) for cell in text.split(","))
            except ValueError:
                if number == 1 and not any(cell.strip()[:1].isdigit() for cell in text.split(",")):
                    continue
                raise TraceError(f"{path}:{number}: {text[:40]!r} is not two numbers") from None
            if not (0 <= at_s < float("inf") and 0 <= rate < float("inf")):
                raise TraceError(f"{path}:{number}: {text[:40]!r} is not from 0 on and finite")
            rates.append((at_s, rate))
            if len(rates) > MAX_RATES:
                raise TraceError(f"{path}: more than {MAX_RATES} lines")
    except TraceError as error:
        raise ScenarioError(key, str(path), str(error)) from None
    check_rates(key, rates)
    return tuple(rates)


def gaps_of(workload: Workload) -> Gaps | None:
    """How long agents think; None: not at all."""
    match workload.gap:
        case "none":
            return None
        case Gap(lognormal=drawn) if drawn is not None:
            return Gaps(
                kind="lognormal",
                mean_s=float(drawn.mean),
                cv=drawn.cv,
                scale=workload.gap_scale,
            )
        case Gap(fixed=fixed) if fixed is not None:
            return Gaps(kind="fixed", mean_s=float(fixed), scale=workload.gap_scale)
        case _:
            return Gaps(kind="recorded", scale=workload.gap_scale)


def end_of(scenario: Scenario) -> End | None:
    """When the run ends; None: when all requests are served, all of which is measured."""
    run, arrival = scenario.run, scenario.workload.arrivals
    endless = arrival is not None and not arrival.trace
    chosen = run.end if run.end.given or not endless else PAPERS_END
    if not chosen.given and not run.warmup:
        return None
    rest = chosen.rest
    return End(
        after_s=None if chosen.after is None else float(chosen.after),
        agents=chosen.agents,
        ttft_beyond_s=None if chosen.ttft_beyond is None else float(chosen.ttft_beyond),
        steady=None if rest is None else Steady(within=rest.within, apart_s=float(rest.apart)),
        window_s=float(run.end.window),
        warmup_s=float(run.warmup),
    )
