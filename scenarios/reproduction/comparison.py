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
from scenarios.reproduction.derived import Point, derived
from scenarios.reproduction.paper import Case, Figure, PaperPoint

BATCH_OF_FIG_3 = (30 * 1024, 300)
"""Cached and appended tokens of every request (paper Fig 3)."""

FITTED_BATCH = 5
"""Requests of the one batch that constants are fitted to."""

CURVES = {
    "prompt_tokens_per_s": "prompt_tokens_per_s",
    "ttft_then_s": "ttft_mean_s",
    "running_agents": "running_agents",
}
"""Quantities over time, and where a run has them."""


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
    missing = sum(bool(p.case and p.value and p.case not in measured) for p in wanted)
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
            ours = _value(measured[case], point.quantity, point.x)
            if ours is not None:
                found.append(_point(point, ours, used=used))
    return [*found, *derived(found)]


def _value(measured: Measured, quantity: str, x: float) -> float | None:
    """What a run measured of a quantity, at the time `x` if it has one; None where there was
    nothing of it."""
    curves = measured.over_time
    if quantity in CURVES:
        if curves is None:
            return None
        curve = getattr(curves, CURVES[quantity])
        span = int(x / curves.every_s)
        return float(curve[span]) if span < len(curve) else 0.0
    part, is_part, _ = quantity.partition("_percent")
    if is_part:
        parts = measured.ttft_parts_s
        return 100 * parts[part] / sum(parts.values()) if parts else None
    found: float | None = {
        "jct_s": measured.jct_s,
        "jct_over_nodes_s": measured.jct_s,
        "jct_over_append_s": measured.jct_s,
        "jct_over_gen_s": measured.jct_s,
        "ttft_s": measured.ttft_mean_s,
        "ttst_s": measured.ttst_mean_s,
        "tpot_s": measured.tpot_mean_s,
        "agent_jct_s": measured.agent_jct_mean_s,
        "snic_max_over_avg": measured.snic_max_over_avg,
        "attention_max_over_avg": measured.attention_max_over_avg_first,
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
    """By figure, model and quantity, of points that have an error; calibrated ones apart from
    predicted ones."""
    groups: dict[tuple[Figure, str, str, bool], list[tuple[float, float]]] = {}
    for point in points:
        key = (point.figure, point.model, point.quantity, point.used_for_calibration)
        if point.paper is not None and point.error is not None:
            groups.setdefault(key, []).append((abs(point.error), point.ours / point.paper))
    return [
        Summary(
            figure=figure,
            model=model,
            quantity=quantity,
            calibrated=used,
            points=len(group),
            median_error=median(error for error, _ in group),
            p90_error=float(np.quantile([error for error, _ in group], 0.9)),
            ratio=_mean_ratio([ratio for _, ratio in group]),
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
        error=None if point.value is None else ours / point.value - 1,
        used_for_calibration=used,
    )
