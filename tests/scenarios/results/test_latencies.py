"""Claims: what makes up a request's time to first token, on every path."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from plan.deployment import System
from plan.model import Plan
from plan.records import RequestRecord
from scenarios.results.latencies import parts_s
from tests.examples import tries
from tests.nodes.plans import (
    DRAM_POOL,
    DUAL,
    DUALPATH,
    LAYERWISE,
    ORACLE,
    SPLIT,
    TOKENS,
    agent,
    make_plan,
)
from tests.nodes.simulated import simulate
from tests.nodes.test_virtual_run import plans, systems

TURN = agent((100, 2), preloaded=100 * TOKENS)
BLOCK_BYTES = make_plan([TURN]).block_bytes
ONE_TURN = 103 * BLOCK_BYTES
"""DRAM for one such turn's buffer."""


def served(system: System, agents: int, **options: float) -> tuple[Plan, list[RequestRecord]]:
    plan = make_plan([TURN] * agents, **options)  # type: ignore[arg-type]
    return plan, sorted(simulate(plan, system, 1.0).records, key=lambda record: record.request)


def waits(records: list[RequestRecord]) -> list[float]:
    """For buffers."""
    return [record.buffer_wait_s or 0.0 for record in records]


def parts_of(record: RequestRecord) -> tuple[float, float, float, float]:
    parts = parts_s(record)
    assert parts is not None
    return parts


@tries(40)
@given(plans(), systems)
def test_the_parts_of_every_request_add_up_to_its_ttft(plan: Plan, system: System) -> None:
    for record in simulate(plan, system, 1.0).records:
        parts = parts_of(record)
        assert record.first_s is not None
        assert sum(parts) == pytest.approx(record.first_s - record.submit_s, abs=1e-9)
        assert all(part >= -1e-9 for part in parts)


@tries(40)
@given(plans(), systems)
def test_with_room_for_all_only_messages_take_time_for_buffers(plan: Plan, system: System) -> None:
    """A pool's entry may have to be written first, which is waited for, too."""
    ample = msgspec.structs.replace(plan, dram_buffer_bytes=1e15)
    if not system.dram_pool:
        most = max(waits(simulate(ample, system, 1.0).records))
        assert most <= 2 * plan.message_s + 1e-9


def test_what_is_read_takes_no_less_than_its_bytes_at_the_rate_of_the_snics() -> None:
    for system, snics in ((LAYERWISE, 1), (DUALPATH, 1), (SPLIT, 2)):
        plan, records = served(system, agents=1)
        [nic] = [nic for nic in plan.fabric.nics if nic.name == "pe0.snic"]
        _, _, reading_s, _ = parts_of(records[0])
        assert reading_s >= 100 * BLOCK_BYTES * 8 / nic.rate_bps / snics


def test_the_oracle_neither_waits_for_buffers_nor_reads() -> None:
    plan, records = served(ORACLE, agents=3)
    for record in records:
        assert list(parts_of(record)[1:3]) == pytest.approx([0.0, plan.message_s])


def test_who_waits_for_the_snic_waits_for_no_buffer() -> None:
    """Two reads at once: the third begins when the first is over."""
    plan, records = served(LAYERWISE, agents=3)
    assert waits(records) == pytest.approx([2 * plan.message_s] * 3)
    first, _, third = records
    assert first.read_end_s == third.read_start_s
    assert parts_of(third)[2] > 1.4 * parts_of(first)[2]


def test_who_has_the_snic_waits_for_the_pe_buffer() -> None:
    plan, (first, second) = served(LAYERWISE, agents=2, dram_buffer_bytes=ONE_TURN)
    assert waits([first]) == pytest.approx([2 * plan.message_s])
    assert second.read_start_s is not None
    assert second.assigned_s is not None
    assert second.buffer_wait_s is not None
    until_read_s = second.read_start_s - second.assigned_s - plan.message_s
    assert until_read_s > 0
    # the DE buffer, which the first has given back meanwhile, costs two messages
    assert second.buffer_wait_s == pytest.approx(until_read_s + 2 * plan.message_s)


def test_on_the_de_path_the_de_buffer_is_waited_for() -> None:
    """The first two of them: later ones wait for the SNIC, too."""
    plan, records = served(DUAL, agents=8, dram_buffer_bytes=ONE_TURN)
    waited = []
    for record in [record for record in records if record.path == "de"][:2]:
        assert record.read_start_s is not None
        assert record.assigned_s is not None
        waited.append(record.read_start_s - record.assigned_s - plan.message_s)
        assert record.buffer_wait_s == pytest.approx(waited[-1])
    assert max(waited) > 0


def test_of_a_divided_read_the_side_that_ends_last_counts() -> None:
    """Both prefill sides' halves fit beside each other; the DE buffer takes one turn at once."""
    plan, records = served(SPLIT, agents=3, dram_buffer_bytes=ONE_TURN)
    assert {record.path for record in records} == {"split"}
    first, second, third = records
    assert waits([first, second]) == [0.0, 0.0]
    assert third.buffer_wait_s is not None
    assert second.first_s is not None
    assert second.done_s is not None
    assert third.assigned_s is not None
    freed_after_s = third.assigned_s + plan.message_s + third.buffer_wait_s
    assert second.first_s < freed_after_s < second.done_s


def test_what_the_pool_holds_is_not_read() -> None:
    turns = agent((6400, 2), (100, 2))
    plan = make_plan([turns])
    plan = msgspec.structs.replace(plan, dram_pool_bytes=1e12)
    records = simulate(plan, DRAM_POOL, 1.0).records
    assert records[1].path == "pool"
    assert parts_of(records[1])[2] <= 2 * plan.message_s + 1e-9
