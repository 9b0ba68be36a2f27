"""Requests are shown as they went; of many a share, and the slowest."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from scenarios.reports import ways as shown
from scenarios.reports.gallery import run_of
from scenarios.results.metrics import summarise
from tests.scenarios.synthetic import basic_and_dualpath


def test_every_request_of_a_small_run_is_there_with_its_moments() -> None:
    plan, results = basic_and_dualpath()
    found = shown.ways(run_of(plan, results, summarise(plan, results)))
    for result in results:
        columns = found[result.system.name]
        assert columns["request"] == [record.request for record in result.records]
        for name in shown.MOMENTS:
            assert columns[name] == [round(getattr(r, name), 3) for r in result.records]


def test_of_many_the_slowest_is_not_left_out() -> None:
    plan, [basic, _] = basic_and_dualpath()
    records = [
        msgspec.structs.replace(basic.records[0], request=n, first_s=basic.records[0].submit_s + 1)
        for n in range(3 * shown.MOST)
    ]
    records[1234] = msgspec.structs.replace(records[1234], first_s=records[1234].submit_s + 99)
    many = replace(basic, records=records)
    columns = shown.ways(run_of(plan, [many], summarise(plan, [many])))["basic"]
    assert shown.MOST - shown.SLOWEST <= len(columns["request"]) <= shown.MOST
    assert 1234 in columns["request"]
    assert columns["served"] == 3 * shown.MOST
