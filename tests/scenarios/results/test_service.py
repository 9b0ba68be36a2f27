"""Claims: which requests count as served well, and what goodput is."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from plan.records import RequestRecord
from scenarios.configuration.schema import Slo
from scenarios.configuration.units import Duration
from scenarios.results.measured import Measured
from scenarios.results.service import Service, service

LATE = 10.0


def request(ttft_s: float, tpot_s: float = 0.01, gen: int = 12) -> RequestRecord:
    return RequestRecord(
        request=0,
        agent=0,
        turn=0,
        prompt_tokens=100,
        gen_tokens=gen,
        submit_s=1.0,
        first_s=1.0 + ttft_s,
        second_s=1.5 + ttft_s if gen > 1 else None,
        done_s=1.5 + ttft_s + (gen - 2) * tpot_s if gen > 1 else 1.0 + ttft_s,
    )


def judged(records: list[RequestRecord], slo: Slo | None = None) -> Service:
    found = service(slo or Slo(), Measured(0.0, 20.0, records, []))
    assert found is not None
    return found


def test_shares_are_of_requests_whose_own_times_are_within() -> None:
    records = [request(1.0), request(LATE), request(1.0, tpot_s=0.06), request(LATE, tpot_s=0.06)]
    found = judged(records)
    assert (found.ttft_share, found.tpot_share, found.share) == (0.5, 0.5, 0.25)


def test_goodput_is_of_requests_within_both_over_the_window() -> None:
    found = judged([request(1.0), request(1.0), request(LATE), request(1.0, tpot_s=0.06)])
    assert found.requests_per_s == pytest.approx(2 / 20)
    assert found.tokens_per_s == pytest.approx(2 * 12 / 20)


def test_without_a_third_token_there_is_no_tpot_to_miss() -> None:
    assert judged([request(1.0, gen=1), request(1.0, gen=2)]).share == 1.0


@pytest.mark.parametrize(("statistic", "met"), [("mean", True), ("p90", True), ("p99", False)])
def test_the_slo_is_met_by_its_statistic(statistic: str, met: bool) -> None:
    records = [request(1.0)] * 95 + [request(LATE)] * 5
    slo = msgspec.convert({"statistic": statistic}, Slo)
    assert judged(records, slo).met is met


def test_both_times_have_to_be_within() -> None:
    assert judged([request(3.9, tpot_s=0.049)]).met
    assert not judged([request(4.1, tpot_s=0.049)]).met
    assert not judged([request(3.9, tpot_s=0.051)]).met
    assert judged([request(4.1)], replace_ttft(5)).met


def test_what_ended_beyond_the_slo_did_not_keep_it_whoever_was_served_before() -> None:
    slo = Slo()
    assert judged([request(3.9)]).met
    found = service(slo, Measured(0.0, 20.0, [request(3.9)], []), beyond=True)
    assert found is not None
    assert not found.met
    assert found.ttft_share == 1.0


def replace_ttft(seconds: float) -> Slo:
    return msgspec.structs.replace(Slo(), ttft=Duration(seconds))


def test_where_nothing_was_done_nothing_is_judged() -> None:
    nothing = Measured(0.0, 20.0, [], [])
    assert service(Slo(), nothing) is None
    assert service(Slo(), replace(nothing, to_s=0.0, done=[request(1.0)])) is None
