"""The figures of a summary follow from the records and counters, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from plan.end import End
from plan.records import Ending, NodeStats, RequestRecord
from scenarios.configuration.schema import Slo
from scenarios.configuration.units import Duration
from scenarios.results import latencies
from scenarios.results.metrics import summarise, summarise_system
from scenarios.results.result import CpuShares
from scenarios.results.summary import Summary, SystemSummary
from tests.scenarios.synthetic import basic_and_dualpath, make_plan, make_result

HALF = {"pe0": 0.5, "de0": 0.25}


def test_speed_up_is_the_ratio_of_completion_times() -> None:
    summary = summarise(*basic_and_dualpath())
    assert summary.speedup_over_basic == pytest.approx({"basic": 1, "dualpath": 1.9})


def test_a_run_that_was_cut_short_has_no_speed_up() -> None:
    plan, (basic, dualpath) = basic_and_dualpath()
    summary = summarise(plan, [basic, replace(dualpath, complete=False)])
    assert summary.speedup_over_basic == {"basic": 1}


def test_utilisation_is_what_was_read_over_what_could_have_been() -> None:
    plan = make_plan()
    summary = summarise_system(plan, make_result(plan, "basic", 20.0, HALF))
    assert {node: use.utilisation for node, use in summary.snic.items()} == pytest.approx(HALF)
    assert summary.snic["pe0"].read_bytes == pytest.approx(0.5 * 50e9 / 8 * 20)


def test_what_leaves_a_gpu_s_nic_is_a_read_of_memory() -> None:
    plan = make_plan()
    cnic = summarise_system(plan, make_result(plan, "basic", 20.0, HALF)).cnic["pe0"]["0"]
    assert cnic.read_utilisation == pytest.approx(2 * 0.5 / 8)
    assert cnic.write_utilisation == pytest.approx(3 * 0.5 / 8)


def test_balance_is_the_fullest_snic_over_the_mean() -> None:
    plan = make_plan()
    summary = summarise_system(plan, make_result(plan, "dualpath", 20.0, HALF))
    assert summary.snic_max_over_avg == pytest.approx(0.5 / 0.375)


def test_balance_is_not_taken_while_the_snics_idle() -> None:
    plan = make_plan()
    idle = make_result(plan, "dualpath", 20.0, {"pe0": 0.15, "de0": 0.01})
    assert summarise_system(plan, idle).snic_max_over_avg is None


def test_token_times_follow_their_definitions() -> None:
    record = RequestRecord(
        request=0,
        agent=0,
        turn=0,
        prompt_tokens=100,
        gen_tokens=12,
        submit_s=1.0,
        first_s=3.0,
        second_s=3.5,
        done_s=8.5,
    )
    assert latencies.ttft_s([record]) == [2.0]
    assert latencies.ttst_s([record]) == [0.5]
    assert latencies.tpot_s([record]) == [0.5]
    assert latencies.tpot_s([msgspec.structs.replace(record, gen_tokens=2)]) == []


def test_the_parts_of_ttft_add_up() -> None:
    plan = make_plan()
    summary = summarise_system(plan, make_result(plan, "basic", 20.0, HALF, noise=0.5))
    assert summary.ttft_s is not None
    assert sum(summary.ttft_parts_s.values()) == pytest.approx(summary.ttft_s.mean)


def test_no_samples_and_no_records_make_an_empty_summary_not_an_error() -> None:
    plan = make_plan()
    nothing = replace(make_result(plan, "basic", 20.0, HALF), records=[], samples=[])
    summary = summarise_system(plan, nothing)
    assert (summary.jct_s, summary.ttft_s, summary.snic, summary.cnic) == (None, None, {}, {})


def full(pe_use: float = 1.0, **changes: Any) -> SystemSummary:
    plan = make_plan()
    result = make_result(plan, "basic", 40.0, {"pe0": pe_use, "de0": 0.0})
    return summarise_system(plan, replace(result, **changes))


def test_a_clean_run_is_believable() -> None:
    fidelity = full().fidelity
    assert (fidelity.verdict, fidelity.reasons) == ("believable", ())
    assert fidelity.rate_error == pytest.approx(0, abs=1e-6)


IDLE_CPU = CpuShares(wall_s=20, switch=0.3, controller=0, nodes=0.5, others=0, busiest_switch=0.3)


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({"drops": {"kv": 1}}, "doubtful", "1 packets were dropped"),
        ({"drops": {"kv": 10**9}}, "not believable", "packets were dropped"),
        ({"complete": False}, "not believable", "ended before all requests"),
        ({"node_stats": [NodeStats(node="a")]}, "doubtful", "no block was verified"),
        (
            {"node_stats": [NodeStats(node="a", blocks_verified=1, retransmits=3)]},
            "doubtful",
            "3 segments were sent again",
        ),
        (
            {"node_stats": [NodeStats(node="a", blocks_verified=9, blocks_corrupt=1)]},
            "not believable",
            "1 blocks did not hold",
        ),
        (
            {"node_stats": [NodeStats(node="a", blocks_verified=1, lateness_s=(0, 0.006, 1))]},
            "doubtful",
            "6.0 ms late",
        ),
        (
            {"node_stats": [NodeStats(node="a", blocks_verified=1, lateness_s=(0, 0.6, 1))]},
            "not believable",
            "600.0 ms late",
        ),
        ({"probes": {"pe0.snic": 0.95}}, "doubtful", "probed before the workload"),
        ({"incidents": ["switch ce0 lost its controller"]}, "doubtful", "ce0 lost its controller"),
        (
            {"cpu": msgspec.structs.replace(IDLE_CPU, switch=1.5, busiest_switch=0.97)},
            "doubtful",
            "busy for 97% of the one core",
        ),
        (
            {"paused_s": 0.6, "cpu": IDLE_CPU},
            "doubtful",
            "the fabric stood still for 0.6 s although bytes waited, 3.0% of the time",
        ),
        ({"paused_s": 3.0, "cpu": IDLE_CPU}, "not believable", "15.0% of the time"),
    ],
)
def test_each_sign_of_trouble_shows(changes: dict[str, Any], verdict: str, reason: str) -> None:
    fidelity = full(**changes).fidelity
    assert fidelity.verdict == verdict
    assert any(reason in text for text in fidelity.reasons)


def test_a_busy_machine_is_named_where_it_may_have_done_harm_and_only_there() -> None:
    busy = msgspec.structs.replace(IDLE_CPU, others=1.2)
    assert full(cpu=busy).fidelity.verdict == "believable"
    assert full(cpu=busy, probes={"pe0.snic": 0.95}).fidelity.reasons[1:] == (
        "meanwhile other programs used 1.2 cores",
    )


def test_a_failed_request_makes_a_run_not_believable() -> None:
    plan = make_plan()
    result = make_result(plan, "basic", 40.0, {"pe0": 1.0, "de0": 0.0})
    result.records[0].error = "peer lost"
    summary = summarise_system(plan, result)
    assert summary.fidelity.verdict == "not believable"
    assert (summary.failed, summary.completed) == (1, summary.requests - 1)


@pytest.mark.parametrize(("use", "verdict"), [(0.95, "doubtful"), (0.8, "not believable")])
def test_a_backlogged_snic_below_its_rate_is_a_rate_error(use: float, verdict: str) -> None:
    fidelity = full(use).fidelity
    assert fidelity.rate_error == pytest.approx(1 - use)
    assert fidelity.verdict == verdict


@pytest.mark.parametrize(("use", "error"), [(0.8, 0.0), (0.72, 0.1)])
def test_reads_that_are_slow_by_themselves_need_not_fill_a_snic(use: float, error: float) -> None:
    plan = make_plan()
    snic = next(nic for nic in plan.fabric.nics if nic.name == "pe0.snic")
    slots = plan.constants.reads_in_flight
    slow = msgspec.structs.replace(plan, read_bytes_per_s=0.8 * snic.rate_bps / 8 / slots)
    result = make_result(plan, "basic", 40.0, {"pe0": use, "de0": 0.0})
    assert summarise_system(slow, result).fidelity.rate_error == pytest.approx(error)


def test_what_counters_blur_is_no_rate_error() -> None:
    """Reads that fill the slots for less than three windows: no window is surely full."""
    plan = make_plan()
    result = make_result(plan, "basic", 10.0, {"pe0": 0.8, "de0": 0.0})
    assert summarise_system(plan, result).fidelity.rate_error is None


def test_a_snic_above_its_rate_is_a_rate_error() -> None:
    plan = make_plan()
    result = make_result(plan, "basic", 40.0, {"pe0": 1.0, "de0": 0.0})
    for sample in result.samples:
        out, into = sample.nics["de0.snic"]
        sample.nics["de0.snic"] = (out, into + sample.t_s * 1.2 * 50e9 / 8)
    assert summarise_system(plan, result).fidelity.rate_error == pytest.approx(0.2)


def test_in_virtual_time_there_is_no_lateness() -> None:
    assert full(node_stats=[NodeStats(node="a", blocks_verified=1)]).fidelity.verdict == (
        "believable"
    )


@pytest.mark.parametrize(("bound_s", "met"), [(100.0, False), (50.0, True)])
def test_a_run_that_ttft_ended_beyond_the_slo_missed_it(bound_s: float, met: bool) -> None:
    """A bound below the SLO's says nothing of it."""
    plan = msgspec.structs.replace(make_plan(), end=End(ttft_beyond_s=bound_s))
    result = make_result(plan, "basic", 40.0, {"pe0": 0.5, "de0": 0.0})
    ended = replace(result, ending=Ending(ended_by="ttft_beyond", from_s=0.0, to_s=40.0))
    slo = Slo(ttft=Duration(100))
    found = summarise_system(plan, ended, slo).service
    assert found is not None
    assert found.met is met


def test_the_scheduler_s_cpu_time_is_its_process_s_where_it_has_one() -> None:
    (scheduler,) = make_plan().fabric.nodes_of("scheduler")
    assert full().scheduler_cpu_s is None
    stats = [NodeStats(node="pe0", cpu_s=9.0), NodeStats(node=scheduler.name, cpu_s=2.0)]
    assert full(node_stats=stats).scheduler_cpu_s == 2.0


def test_a_summary_is_json_without_loss() -> None:
    summary = summarise(*basic_and_dualpath())
    text = msgspec.json.encode(summary)
    assert msgspec.json.decode(text, type=Summary) == summary
