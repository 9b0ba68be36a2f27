"""Claims: what an engine computes takes as long as its program runs for it, whoever pauses when."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.virtual_run import simulate
from plan.faults import Fault, Recovery
from plan.records import RequestRecord
from tests.examples import tries
from tests.nodes.plans import DUALPATH, agent, make_plan

PAUSE_S = 1.5
PLAN = make_plan([agent((20_000, 600))])
SPARES = [agent((20_000, 600))] * 3


def served(*pauses: Fault, agents: int = 1, collectives: str | None = None) -> list[RequestRecord]:
    plan = make_plan(SPARES[:agents]) if agents > 1 else PLAN
    plan = msgspec.structs.replace(
        plan, faults=pauses, recovery=Recovery(), collectives=collectives
    )
    records: list[RequestRecord] = []
    simulate(plan, DUALPATH, 1.0, records.append, lambda sample: None)
    return sorted(records, key=lambda record: record.request)


def pause(node: str, at_s: float, for_s: float = PAUSE_S) -> Fault:
    return Fault(kind="pause", target=node, at_s=at_s, for_s=for_s)


[WHOLE] = served()
assert WHOLE.prefill_start_s is not None
assert WHOLE.first_s is not None
assert WHOLE.done_s is not None
PREFILL = (WHOLE.prefill_start_s, WHOLE.first_s)
DECODE = (WHOLE.first_s + 0.5 * (WHOLE.done_s - WHOLE.first_s), WHOLE.done_s)


@tries(20)
@given(part=st.floats(0.05, 0.9))
def test_a_paused_prefill_is_done_later_by_the_pause(part: float) -> None:
    at_s = PREFILL[0] + part * (PREFILL[1] - PREFILL[0])
    [record] = served(pause("pe0", at_s))
    assert record.first_s == pytest.approx(PREFILL[1] + PAUSE_S, abs=1e-3)


@tries(20)
@given(part=st.floats(0.0, 0.99), length_s=st.floats(0.01, 2.0))
def test_a_paused_decode_is_done_later_by_the_pause(part: float, length_s: float) -> None:
    at_s = DECODE[0] + part * (DECODE[1] - DECODE[0])
    [record] = served(pause("de0", at_s, length_s))
    assert record.done_s == pytest.approx(DECODE[1] + length_s, abs=1e-3)


def test_pauses_add_up() -> None:
    middle_s = sum(DECODE) / 2
    [record] = served(pause("de0", DECODE[0], 0.3), pause("de0", middle_s + 0.3, 0.4))
    assert record.done_s == pytest.approx(DECODE[1] + 0.7, abs=1e-3)


@pytest.mark.parametrize("collectives", [None, "alltoall", "tensor"])
def test_a_batch_is_as_late_as_its_engine_stood(collectives: str | None) -> None:
    before = served(agents=3, collectives=collectives)
    last_s = max(record.done_s or 0.0 for record in before)
    after = served(pause("de0", last_s - 0.2, 1.0), agents=3, collectives=collectives)
    assert max(record.done_s or 0.0 for record in after) == pytest.approx(last_s + 1.0, abs=0.01)
