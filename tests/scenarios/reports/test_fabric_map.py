"""The map has every link where it is, and its load at every moment."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from scenarios.reports import fabric_map as maps
from scenarios.reports.gallery import run_of
from scenarios.results.metrics import summarise
from tests.scenarios.synthetic import basic_and_dualpath, make_plan, make_result


def test_every_link_and_nic_joins_two_places_and_has_its_loads() -> None:
    plan, results = basic_and_dualpath()
    found = maps.fabric_map(run_of(plan, results, summarise(plan, results)))
    assert found is not None
    places = {one["name"] for one in (*found["nodes"], *found["switches"])}
    ends = {(line["a"], line["b"]) for line in found["lines"]}
    assert {end for pair in ends for end in pair} <= places
    rows = sorted(row for line in found["lines"] for row in line["rows"])
    assert rows == list(range(len(found["rows"])))


def test_a_full_snic_is_a_full_byte_at_every_moment() -> None:
    plan = make_plan()
    results = [make_result(plan, "basic", 20.0, {"pe0": 1.0})]
    found = maps.fabric_map(run_of(plan, results, summarise(plan, results)))
    assert found is not None
    loads = found["loads"]["basic"]
    use = np.frombuffer(base64.b64decode(loads["use"]), dtype=np.uint8)
    use = use.reshape(len(loads["t"]), len(found["rows"]))
    assert set(use[:, found["rows"].index("pe0.snic in")]) == {255}
    assert set(use[:, found["rows"].index("de0.snic in")]) == {0}


def test_a_long_run_of_a_large_fabric_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "CELLS", 100)
    plan, results = basic_and_dualpath()
    found = maps.fabric_map(run_of(plan, results, summarise(plan, results)))
    assert found is not None
    for loads in found["loads"].values():
        assert len(base64.b64decode(loads["use"])) <= 100


def test_queues_are_by_egress_and_lane() -> None:
    plan, results = basic_and_dualpath()
    found = maps.fabric_map(run_of(plan, results, summarise(plan, results)))
    assert found is not None
    waited = {
        (egress, lane)
        for sample in results[1].backlog
        for egress, lanes in sample.queues.items()
        for lane in lanes
    }
    told = found["queues"]["dualpath"].get("waiting", {})
    assert {(egress, lane) for egress, lanes in told.items() for lane in lanes} == waited
    assert waited
