"""How well agents are served: the share of requests within the SLO, and goodput (section 7.4)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from scenarios.configuration.schema import Slo
from scenarios.results.latencies import tpot_of, tpot_s, ttft_of, ttft_s
from scenarios.results.measured import Measured


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """Service within the measured window.

    Attributes:
        met: whether the statistic of TTFT and that of TPOT are within the SLO; not where the
            run ended because mean TTFT, those counted who still waited, was beyond it.
        ttft_share, tpot_share: shares of requests whose own is; of fewer than 3 tokens TPOT is.
        share: of requests for which both hold.
        requests_per_s, tokens_per_s: goodput, such requests and the tokens they generated.
    """

    met: bool
    ttft_share: float
    tpot_share: float
    share: float
    requests_per_s: float
    tokens_per_s: float


def service(slo: Slo, measured: Measured, *, beyond: bool = False) -> Service | None:
    """Judge the requests of the window; None where none was done.

    Args:
        beyond: the run ended because mean TTFT was beyond the SLO's.
    """
    done = measured.done
    if not done or measured.span_s <= 0:
        return None
    early = [_within(ttft_of(record), slo.ttft) for record in done]
    steady = [_within(tpot_of(record), slo.tpot) for record in done]
    good = [record for record, *both in zip(done, early, steady, strict=True) if all(both)]
    return Service(
        met=(
            not beyond
            and statistic(slo, ttft_s(done)) <= slo.ttft
            and statistic(slo, tpot_s(done)) <= slo.tpot
        ),
        ttft_share=sum(early) / len(done),
        tpot_share=sum(steady) / len(done),
        share=len(good) / len(done),
        requests_per_s=len(good) / measured.span_s,
        tokens_per_s=sum(record.gen_tokens for record in good) / measured.span_s,
    )


def statistic(slo: Slo, values: Sequence[float]) -> float:
    """Of values what the SLO looks at; 0 of none."""
    if not values:
        return 0.0
    if slo.statistic == "mean":
        return float(np.mean(values))
    return float(np.percentile(values, float(slo.statistic.removeprefix("p"))))


def _within(value: float | None, bound: float) -> bool:
    return value is None or value <= bound
