"""Claims of whole runs to which agents come without end: memory is of who is alive, an overload
ends, every system is asked the same."""

from __future__ import annotations

import gc
import sys
from bisect import bisect
from itertools import islice

import msgspec
import pytest

from nodes.engines import course
from nodes.virtual_run import VirtualRun, simulate
from plan.arrivals import Arrivals, Gaps
from plan.deployment import System
from plan.end import End
from plan.model import Plan
from plan.records import CounterSample, RequestRecord
from tests.nodes.plans import BASIC, DRAM_POOL, DUALPATH, SYSTEMS, TOKENS, agent, make_plan

SHORT = agent((3 * TOKENS, 5), (TOKENS, 70), (40, 3))
STORED = agent((TOKENS, 5), (100, 9, 2 * TOKENS), preloaded=6 * TOKENS)


def online(rate: float, end: End, gpus: int = 1, **changes: object) -> Plan:
    plan = make_plan([SHORT, STORED], storage=2, gpus=gpus)
    return msgspec.structs.replace(
        plan, arrivals=Arrivals(rates=((0.0, rate),)), end=end, **changes
    )


def run(plan: Plan, system: System) -> tuple[VirtualRun, list[RequestRecord]]:
    records: list[RequestRecord] = []
    return simulate(plan, system, 5.0, records.append, lambda _: None), records


def test_a_long_run_holds_what_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its records and counters, which are on disk; and what is kept of its course is
    bounded from the first look on."""
    monkeypatch.setattr(course, "MOST", 100)
    held: list[tuple[int, int]] = []
    requests = 0

    def count(_: RequestRecord) -> None:
        nonlocal requests
        requests += 1

    def look(sample: CounterSample) -> None:
        if sample.t_s and sample.t_s % 50 == 0:
            gc.collect()
            held.append((len(gc.get_objects()), sys.getallocatedblocks()))

    ended = simulate(online(8.0, End(after_s=201.0), gpus=2), DUALPATH, 5.0, count, look)
    assert ended.ending.agents_done > 1500
    assert requests > 4000
    assert sum(one.passes for stats in ended.stats for one in stats.forwards) > 4000
    # one object kept of every agent would be 1200 between the first look and the last, one
    # block of memory of every request, or of every forward, 3600
    objects, blocks = zip(*held, strict=True)
    assert max(objects) - min(objects) < 1000
    assert max(blocks) - min(blocks) < 3000


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_request_is_done_or_under_way_and_none_fails(system: System) -> None:
    plan = online(20.0, End(after_s=10.0, warmup_s=2.0))
    ended, records = run(plan, system)
    assert ended.complete
    assert (ended.ending.ended_by, ended.ending.from_s, ended.ending.to_s) == ("after", 2.0, 10.0)
    assert sorted(record.request for record in records) == list(range(1, len(records) + 1))
    assert ended.ending.under_way == sum(record.done_s is None for record in records)
    assert not any(record.error for record in records)
    assert sum(stats.blocks_corrupt for stats in ended.stats) == 0
    begun = [r for r in records if r.done_s is not None and r.turn == 0 and system.io]
    for record in begun:
        stored = plan.trajectory(record.agent).preloaded // TOKENS * TOKENS
        assert record.hit_tokens == stored, "what an agent had comes with it"


def test_every_system_is_asked_the_same_by_the_same_agents() -> None:
    plan = online(5.0, End(after_s=20.0), gaps=Gaps(kind="lognormal", mean_s=1.0, cv=1.0))
    asked = []
    for system in (BASIC, DUALPATH, DRAM_POOL):
        _, records = run(plan, system)
        first = {r.agent: r for r in records if r.turn == 0}
        asked.append(
            [
                (a, round(r.submit_s, 9), r.prompt_tokens, r.gen_tokens)
                for a, r in sorted(first.items())
            ]
        )
    assert asked[0] == asked[1] == asked[2]


def test_the_same_run_again_gives_the_same_bytes() -> None:
    plan = online(5.0, End(after_s=10.0))
    once, again = (msgspec.json.encode(run(plan, DUALPATH)[1]) for _ in range(2))
    assert once == again


def overload(end: End) -> Plan:
    """The one engine is asked for far more than it can compute."""
    plan = make_plan([agent((20_000, 3))])
    return msgspec.structs.replace(plan, arrivals=Arrivals(rates=((0.0, 30.0),)), end=end)


def test_an_overload_ends_by_its_bound() -> None:
    ended, records = run(overload(End(ttft_beyond_s=4.0, window_s=10.0, after_s=1000.0)), DUALPATH)
    assert ended.ending.ended_by == "ttft_beyond"
    assert ended.ending.to_s < 40
    assert ended.ending.under_way > 100
    assert ended.ending.from_s == ended.ending.to_s - 10
    assert len(records) - ended.ending.under_way >= ended.ending.agents_done


def test_an_overload_holds_no_more_of_an_agent_the_longer_it_takes() -> None:
    plan = overload(End(after_s=60.0))
    came_s = [arrival.at_s for arrival in islice(plan.arriving(), 3000)]
    done = 0
    held: dict[float, float] = {}
    before = 0

    def count(_: RequestRecord) -> None:
        nonlocal done
        done += 1

    def look(sample: CounterSample) -> None:
        nonlocal before
        gc.collect()
        blocks = sys.getallocatedblocks()
        if not sample.t_s:
            before = blocks
        elif sample.t_s < 60:
            alive = bisect(came_s, sample.t_s) - done
            held[sample.t_s] = (blocks - before) / alive

    simulate(plan, DUALPATH, 10.0, count, look)
    first, *_, last = held.values()
    assert len(held) == 5
    assert last < 1.2 * first
