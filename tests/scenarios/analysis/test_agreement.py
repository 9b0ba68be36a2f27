"""Figures of both engines are held to the same marks."""

from __future__ import annotations

import msgspec
import pytest

from scenarios.analysis.agreement import Comparison, compare
from scenarios.results.metrics import summarise
from scenarios.results.summary import Distribution, Summary
from tests.scenarios.synthetic import basic_and_dualpath


def figures() -> Summary:
    return summarise(*basic_and_dualpath())


def with_basic(summary: Summary, **changes: object) -> Summary:
    basic = msgspec.structs.replace(summary.systems["basic"], **changes)
    return msgspec.structs.replace(summary, systems={**summary.systems, "basic": basic})


def missed(emulated: Summary, simulated: Summary) -> list[tuple[str, str]]:
    return [
        (system, figure.figure)
        for system, rows in compare(emulated, [simulated]).items()
        for figure in rows
        if not figure.holds
    ]


def test_equal_runs_agree_in_every_figure() -> None:
    rows = compare(figures(), [figures()])
    assert set(rows) == {"basic", "dualpath"}
    assert {figure.error for figure in rows["basic"]} == {0.0}
    assert missed(figures(), figures()) == []


@pytest.mark.parametrize(("slower", "expected"), [(1.04, []), (1.06, [("basic", "JCT, s")])])
def test_a_completion_time_may_be_five_per_cent_off(
    slower: float, expected: list[tuple[str, str]]
) -> None:
    jct_s = figures().systems["basic"].jct_s
    assert jct_s is not None
    assert missed(figures(), with_basic(figures(), jct_s=slower * jct_s)) == expected


def slower(**factors: float) -> Summary:
    """A run to which agents came without end, some of its times longer."""
    basic = figures().systems["basic"]
    changes: dict[str, Distribution] = {}
    for name in ("ttft_s", "tpot_s"):
        found = getattr(basic, name)
        mean, p99 = factors.get(f"{name}_mean", 1.0), factors.get(f"{name}_p99", 1.0)
        changes[name] = msgspec.structs.replace(found, mean=mean * found.mean, p99=p99 * found.p99)
    return with_basic(figures(), jct_s=None, **changes)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ({"ttft_s_mean": 1.09, "ttft_s_p99": 1.19, "tpot_s_mean": 1.04}, []),
        ({"ttft_s_mean": 1.11}, ["TTFT mean, s"]),
        ({"ttft_s_p99": 0.79}, ["TTFT p99, s"]),
        ({"tpot_s_mean": 1.06}, ["TPOT mean, s"]),
    ],
)
def test_where_agents_arrive_latencies_are_held_to_their_marks(
    factors: dict[str, float], expected: list[str]
) -> None:
    assert missed(slower(), slower(**factors)) == [("basic", figure) for figure in expected]


def test_utilisations_are_compared_in_points_not_in_per_cent() -> None:
    def shown(emulated: float, simulated: float) -> bool:
        return Comparison(
            figure="x", emulated=emulated, simulated=simulated, share=True, mark=0.03
        ).holds

    assert shown(0.01, 0.03)
    assert not shown(0.90, 0.935)


def test_what_one_engine_did_not_measure_does_not_agree() -> None:
    assert ("basic", "JCT, s") in missed(figures(), with_basic(figures(), jct_s=None))


def test_the_mean_of_several_simulated_runs_is_compared_and_their_spread_shown() -> None:
    jct_s = figures().systems["basic"].jct_s
    assert jct_s is not None
    runs = [with_basic(figures(), jct_s=factor * jct_s) for factor in (0.9, 1.0, 1.1)]
    figure = compare(figures(), runs)["basic"][0]
    assert figure.error == pytest.approx(0.0)
    assert figure.spread == (0.9 * jct_s, 1.1 * jct_s)


def test_every_nic_of_every_node_is_compared() -> None:
    names = [figure.figure for figure in compare(figures(), [figures()])["basic"] if figure.share]
    assert names == [
        *("pe0.snic read", "de0.snic read"),
        *("pe0.cnic0 read", "pe0.cnic0 write", "de0.cnic0 read", "de0.cnic0 write"),
    ]
