"""Claims: KV-Cache of agents alive, as records show it and as the formula has it."""

from __future__ import annotations

import numpy as np
import pytest

from plan.records import RequestRecord
from scenarios.results.measured import Life, Measured
from scenarios.results.working_set import agents_alive, held_bytes, working_set
from tests.scenarios.synthetic import make_plan

PLAN = make_plan()
TOKEN = PLAN.model.token_bytes


def life(start_s: float, *, turns: int = 4, turn_s: float = 1.0, over: bool = True) -> Life:
    """Every turn leaves 100 tokens more of context."""
    records = [
        RequestRecord(
            request=turn,
            agent=0,
            turn=turn,
            prompt_tokens=100 * turn + 90,
            gen_tokens=10,
            submit_s=start_s + turn * turn_s,
            done_s=start_s + (turn + 1) * turn_s,
        )
        for turn in range(turns)
    ]
    return Life(records, records[-1].done_s if over else None)


def held(lives: list[Life], t_s: float) -> float:
    return float(held_bytes(PLAN, lives).at(np.array([t_s]))[0]) / TOKEN


def test_an_agent_holds_its_context_until_its_last_turn_is_done() -> None:
    moments = (0.5, 1.5, 3.5, 4.5)
    assert [held([life(0.0)], t_s) for t_s in moments] == pytest.approx([0, 100, 300, 0])


def test_an_agent_that_has_turns_left_holds_it_on() -> None:
    assert held([life(0.0, over=False)], 99.0) == pytest.approx(400)
    assert agents_alive([life(0.0, over=False), life(0.0)]).at(np.array([99.0])) == [1.0]


def test_what_was_stored_before_it_came_is_held_from_its_arrival_on() -> None:
    known = life(2.0)
    known.turns[0].hit_tokens = 64
    assert [held([known], t_s) for t_s in (1.0, 2.5)] == pytest.approx([0, 64])


def test_measured_and_formula_agree_where_agents_come_evenly_and_grow_evenly() -> None:
    """One a second, 40 turns of a second: 40 alive, of 20.5 turns' context less the last."""
    lives = [life(float(start), turns=40) for start in range(200)]
    found = working_set(PLAN, Measured(60.0, 160.0, [], lives))
    assert found is not None
    assert found.agents == pytest.approx(40)
    assert found.arrivals_per_s == pytest.approx(1.0, rel=0.02)
    assert found.agent_jct_s == pytest.approx(40)
    assert found.agent_bytes == pytest.approx(4000 * TOKEN)
    assert found.mean_bytes == pytest.approx(sum(100 * i for i in range(40)) * TOKEN)
    assert found.mean_bytes == pytest.approx(1.0 * 40 * 4000 / 2 * TOKEN, rel=0.03)


def test_without_a_window_there_is_no_working_set() -> None:
    assert working_set(PLAN, Measured(0.0, 0.0, [], [])) is None
