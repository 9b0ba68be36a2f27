"""Claims: balance and queues are computed from the records as the paper defines them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from plan.fabric import Fabric
from plan.records import BacklogSample, ForwardRecord, NodeStats, RequestRecord
from scenarios.reports import congestion_plots
from scenarios.reports.report import table
from scenarios.results import congestion
from scenarios.results.metrics import summarise_system
from scenarios.results.summary import Summary
from tests.scenarios.synthetic import make_plan, make_result

HALF = {"pe0": 0.5, "de0": 0.25}


def forward(t_s: float, tokens: int, longest_s: float, mean_s: float) -> ForwardRecord:
    return ForwardRecord(
        t_s=t_s, engines=4, tokens=tokens, attention_max_s=longest_s, attention_mean_s=mean_s
    )


def test_a_forward_counts_for_its_tokens_and_its_time() -> None:
    even, uneven = forward(0.0, 300, 0.1, 0.1), forward(1.0, 100, 0.3, 0.1)
    assert congestion.attention_max_over_avg([even]) == pytest.approx(1)
    assert congestion.attention_max_over_avg([even, uneven]) == pytest.approx(6 / 4)


def test_without_expert_parallelism_there_is_no_balance_of_attention() -> None:
    assert congestion.attention_max_over_avg([]) is None


def test_the_first_part_is_a_twentieth_of_the_run() -> None:
    plan = make_plan()
    stats = NodeStats(node="pe0", forwards=[forward(0.9, 9, 0.2, 0.1), forward(1.1, 9, 0.5, 0.1)])
    summary = summarise_system(plan, make_result(plan, "dualpath", 20.0, HALF, stats=stats))
    assert summary.attention_max_over_avg_first == pytest.approx(2)
    assert summary.attention_max_over_avg == pytest.approx(3.5)


def test_bubbles_are_a_share_of_all_engines_time() -> None:
    plan = make_plan(prefill=2, gpus=2)
    stats = [NodeStats(node="pe0", bubble_s=8.0), NodeStats(node="pe1", bubble_s=4.0)]
    assert congestion.bubble_share(plan, stats, 10.0) == pytest.approx({"prefill": 12 / 40})


def record(agent: int, *, assigned_s: float, first_s: float, done_s: float) -> RequestRecord:
    return RequestRecord(
        request=agent,
        agent=agent,
        turn=0,
        prompt_tokens=1000,
        gen_tokens=100,
        pe="pe0.1",
        de="de0.0",
        submit_s=0.0,
        assigned_s=assigned_s,
        first_s=first_s,
        done_s=done_s,
    )


def test_an_engine_has_a_request_from_its_assignment_until_it_is_through() -> None:
    plan = make_plan(gpus=2)
    records = [
        record(0, assigned_s=0.0, first_s=1.0, done_s=3.0),
        record(1, assigned_s=0.5, first_s=2.0, done_s=2.5),
    ]
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    prefill = congestion.unfinished_tokens(plan, records, "prefill", edges)
    decode = congestion.unfinished_tokens(plan, records, "decode", edges)
    assert prefill == pytest.approx(np.array([[0, 0, 0], [1500, 1000, 0]]))
    assert decode == pytest.approx(np.array([[1650, 2200, 1650], [0, 0, 0]]))


def test_backlog_of_a_lane_is_summed_over_egresses() -> None:
    samples = [
        BacklogSample(t_s=1.0, queues={"pe0.snic in": {"kv": 3.0, "control": 1.0}}),
        BacklogSample(t_s=2.0, queues={"pe0.snic in": {"kv": 4.0}, "se0→sa0": {"kv": 5.0}}),
    ]
    found = congestion.backlog(samples, ["kv", "collective"])
    assert (found["kv"].mean_bytes, found["kv"].largest_bytes) == (6.0, 9.0)
    assert found["collective"].largest_bytes == 0.0
    assert list(congestion.egress_backlog(samples)["pe0.snic in"]) == [4.0, 4.0]


def rows_of(fabric: Fabric) -> list[str]:
    return [name for names in congestion_plots.fabric_rows(fabric).values() for name in names]


@pytest.mark.parametrize("gpus", [1, 4])
def test_the_map_of_the_fabric_shows_every_direction_of_every_nic_and_link_once(gpus: int) -> None:
    fabric = make_plan(prefill=2, decode=2, gpus=gpus).fabric
    nics = [nic for nic in fabric.nics if nic.plane != "management"]
    links = [link for link in fabric.links if link.plane != "management"]
    rows = rows_of(fabric)
    assert len(rows) == len(set(rows)) == 2 * (len(nics) + len(links))


def test_what_was_not_measured_has_no_row_in_the_table() -> None:
    plan = make_plan()
    bare = replace(make_result(plan, "basic", 9.0, HALF), node_stats=[], backlog=[])
    summary = Summary(systems={"basic": summarise_system(plan, bare)}, speedup_over_basic={})
    labels = {row.label for row in table(summary)}
    assert not {"Expert parallelism", "collectives", "kv · MB waiting, mean"} & labels
    assert "kv · packets dropped" in labels
