"""Ours beside the paper's: points, their errors, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import msgspec
import numpy as np

from nodes.timing.compute import prefill_layer_s
from plan.deployment import GpuSpec
from scenarios.configuration.models import GPUS, MODELS
from scenarios.reproduction.paper import Case, Figure, PaperPoint, paper

BATCH_OF_FIG_3 = (30 * 1024, 300)
"""Cached and appended tokens of every request (paper Fig 3)."""

FITTED_BATCH = 5
"""Requests of the one batch that constants are fitted to."""


class OverTime(msgspec.Struct, frozen=True, kw_only=True):
    """A run in spans of `every_s` model seconds: prompt tokens whose first token came there, hits
    included, and mean TTFT of those requests; agents that still run when a span begins."""

    every_s: float
    prompt_tokens_per_s: list[float]
    ttft_mean_s: list[float]
    running_agents: list[int]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of a case measured, model seconds: of requests whose first token, and of agents
    whose end, was after its warm-up.

    Attributes:
        ttft_parts_s: mean seconds of each part, by name (Fig 12 left).
        snic_max_over_avg: the fullest SNIC over their average, mean over windows (Fig 13).
        attention_max_over_avg_first: longest over average attention time of a forward's engines
            in the first twentieth of the run (Fig 14).
        over_time: the curves of Fig 15.
    """

    jct_s: float
    ttft_mean_s: float
    ttst_mean_s: float | None = None
    tpot_mean_s: float | None = None
    agent_jct_mean_s: float | None = None
    ttft_parts_s: dict[str, float] = {}
    snic_max_over_avg: float | None = None
    attention_max_over_avg_first: float | None = None
    over_time: OverTime | None = None
    requests: int
    cpu_s: float


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the paper and ours beside it.

    Attributes:
        row: MaxLen, where the figure has several.
        error: ours over the paper's, less 1.
        used_for_calibration: it is no prediction.
    """

    figure: Figure
    model: str
    row: str | None
    x: float
    system: str | None
    quantity: str
    paper: float
    reading_error: float
    ours: float
    error: float
    used_for_calibration: bool


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of a figure's points for one model, calibrated ones or predicted ones; `ratio` is the
    geometric mean of ours over the paper's, None where one of them is not above 0."""

    figure: Figure
    model: str
    quantity: str
    calibrated: bool
    points: int
    median_error: float
    p90_error: float
    ratio: float | None


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """All points with their summary; `missing` values of the paper have not been run."""

    points: list[Point]
    summary: list[Summary]
    missing: int


def reproduction(
    wanted: Sequence[PaperPoint], measured: Mapping[Case, Measured], fitted: set[Case]
) -> Reproduction:
    """What there is of the wanted points; constants were fitted to the fitted ones."""
    found = compared(wanted, measured, fitted)
    missing = sum(p.case is not None and p.case not in measured for p in wanted)
    return Reproduction(points=found, summary=summaries(found), missing=missing)


def compared(
    wanted: Iterable[PaperPoint], measured: Mapping[Case, Measured], fitted: set[Case]
) -> list[Point]:
    """The points for which there is a run, and those that follow from them."""
    found = []
    for point in wanted:
        case = point.case
        if case is None:
            used = point.x == FITTED_BATCH
            found.append(_point(point, batch_throughput(point.x), used=used))
        elif case in measured:
            used = case in fitted
            ours = _value(measured[case], point.quantity)
            if ours is not None:
                found.append(_point(point, ours, used=used))
    return [*found, *_speed_ups(found), *_cuts(found)]


def _value(measured: Measured, quantity: str) -> float | None:
    """What a run measured of a quantity; None where there was nothing of it."""
    found: float | None = {
        "jct_s": measured.jct_s,
        "ttft_s": measured.ttft_mean_s,
        "ttst_s": measured.ttst_mean_s,
        "tpot_s": measured.tpot_mean_s,
        "agent_jct_s": measured.agent_jct_mean_s,
    }[quantity]
    return found


def batch_throughput(requests: float, model: str = "ds-660b", gpu: GpuSpec | None = None) -> float:
    """Tokens a second of a forward batch over those of one request alone (paper Fig 3)."""
    spec, gpu = MODELS[model], gpu or GPUS["h800"]
    alone, together = (
        prefill_layer_s(spec, gpu, 16, [BATCH_OF_FIG_3] * n) / n for n in (1, int(requests))
    )
    return alone / together


def summaries(points: Iterable[Point]) -> list[Summary]:
    """By figure, model and quantity; calibrated points apart from predicted ones."""
    groups: dict[tuple[Figure, str, str, bool], list[Point]] = {}
    for point in points:
        key = (point.figure, point.model, point.quantity, point.used_for_calibration)
        groups.setdefault(key, []).append(point)
    return [
        Summary(
            figure=figure,
            model=model,
            quantity=quantity,
            calibrated=used,
            points=len(group),
            median_error=median(abs(p.error) for p in group),
            p90_error=float(np.quantile([abs(p.error) for p in group], 0.9)),
            ratio=_mean_ratio([p.ours / p.paper for p in group]),
        )
        for (figure, model, quantity, used), group in groups.items()
    ]


def _mean_ratio(ratios: Sequence[float]) -> float | None:
    if min(ratios) <= 0:
        return None
    return math.exp(float(np.mean(np.log(ratios))))


def _point(point: PaperPoint, ours: float, *, used: bool) -> Point:
    case = point.case
    return Point(
        figure=point.figure,
        model=case.model if case else "ds-660b",
        row=case.row if case else None,
        x=point.x,
        system=case.system if case else None,
        quantity=point.quantity,
        paper=point.value,
        reading_error=point.reading_error,
        ours=ours,
        error=ours / point.value - 1,
        used_for_calibration=used,
    )


def _over(points: Sequence[Point], system: str) -> Iterable[tuple[Point, Point]]:
    """(Basic's, another system's) point of the same run but for the system."""
    base = {(p.figure, p.model, p.row, p.x): p for p in points if p.system == "basic"}
    for point in points:
        other = base.get((point.figure, point.model, point.row, point.x))
        if point.system == system and other is not None:
            yield other, point


def _speed_ups(points: Sequence[Point]) -> list[Point]:
    """DualPath over Basic, which follows from Fig 7's points."""
    return [
        msgspec.structs.replace(
            point,
            quantity="speed_up",
            paper=basic.paper / point.paper,
            ours=basic.ours / point.ours,
            error=(basic.ours / point.ours) / (basic.paper / point.paper) - 1,
            reading_error=basic.reading_error + point.reading_error,
        )
        for basic, point in _over([p for p in points if p.figure == "7"], "dualpath")
    ]


def _cuts(points: Sequence[Point]) -> list[Point]:
    """What each part of DualPath cuts of Basic's JCT, per cent: the mean over those agents that
    were run, beside the paper's printed mean if those are all."""
    found = []
    ablated = [p for p in points if p.figure == "12" and p.quantity == "jct_s"]
    known = paper().ablation
    for system, printed in known.mean_cut_percent.items():
        pairs = list(_over(ablated, system))
        if len(pairs) < len(known.values):
            continue
        cut = float(np.mean([100 * (1 - point.ours / basic.ours) for basic, point in pairs]))
        found.append(
            msgspec.structs.replace(
                pairs[-1][1],
                x=0,
                quantity="mean_cut_percent",
                paper=printed,
                ours=cut,
                error=cut / printed - 1,
                reading_error=0.0,
            )
        )
    return found
