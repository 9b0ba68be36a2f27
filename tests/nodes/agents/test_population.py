"""Claims: contexts grow as trajectories say; turns follow each other without a pause."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.agents.context import Agent
from nodes.agents.population import AgentPopulation
from nodes.protocol.blocks import Runs
from nodes.protocol.messages import Done, Request, Submit
from nodes.worlds.virtual.loop import run
from plan.records import RequestRecord
from plan.workload import Turn
from tests.nodes.plans import TOKENS, agent, make_plan
from tests.nodes.recording import Sent, recorded


def ids(runs: Runs) -> list[int]:
    return [first + i for first, count in runs for i in range(count)]


def replayed(preloaded: int, *turns: Turn) -> list[Request]:
    trajectory = agent(preloaded=preloaded)
    made = Agent(7, trajectory, TOKENS)
    return [made.request(number, number, turn, 0.0) for number, turn in enumerate(turns)]


def test_context_is_everything_appended_and_generated_before() -> None:
    first, second = replayed(0, Turn(100, 30), Turn(50, 20))
    assert (first.prompt, first.cached, first.total) == (100, 0, 130)
    assert (second.prompt, second.cached, second.total) == (180, 130, 200)


def test_a_preloaded_context_is_in_front_of_the_first_turn() -> None:
    (first,) = replayed(1000, Turn(100, 30))
    assert (first.prompt, first.cached) == (1100, 1000)


def test_keeping_less_than_all_starts_new_blocks_behind_the_kept_full_ones() -> None:
    first, second = replayed(0, Turn(300, 20), Turn(100, 10, 150))
    assert (second.prompt, second.cached) == (250, 150)
    assert ids(second.runs) == [0, 1, 5, 6, 7]  # 150 tokens keep two full blocks of five
    assert ids(first.runs) == [0, 1, 2, 3, 4]


@st.composite
def trajectories(draw: st.DrawFn) -> tuple[int, list[Turn]]:
    preloaded = draw(st.integers(0, 500))
    context, turns = preloaded, []
    for _ in range(draw(st.integers(1, 6))):
        append, gen = draw(st.integers(1, 300)), draw(st.integers(1, 200))
        keep = draw(st.none() | st.integers(0, context))
        context = (context if keep is None else keep) + append + gen
        turns.append(Turn(append, gen, keep))
    return preloaded, turns


@given(trajectories())
def test_rows_cover_the_turn_and_a_row_keeps_its_block_while_it_is_kept(
    trajectory: tuple[int, list[Turn]],
) -> None:
    preloaded, turns = trajectory
    context = preloaded
    before = list(range(-(-preloaded // TOKENS)))
    used = set(before)
    for turn, request in zip(turns, replayed(preloaded, *turns), strict=True):
        kept = context if turn.keep is None else turn.keep
        assert request.cached == kept
        assert request.prompt == kept + turn.append
        now = ids(request.runs)
        assert len(now) == -(-request.total // TOKENS)
        rows_kept = kept // TOKENS if turn.keep is not None else len(before)
        assert now[:rows_kept] == before[:rows_kept]
        assert not used & set(now[rows_kept:])
        used |= set(now)
        context, before = request.total, now


def record_of(request: Request) -> RequestRecord:
    return RequestRecord(
        request=request.number,
        agent=request.agent,
        turn=request.turn,
        prompt_tokens=request.prompt,
        gen_tokens=request.gen,
        submit_s=request.submit_s,
    )


def submitted(sent: Sent) -> list[Request]:
    assert {to for to, _ in sent} == {"sched"}
    return [message.request for _, message in sent if isinstance(message, Submit)]


def test_all_agents_start_together_and_a_turn_follows_the_last_at_once() -> None:
    plan = make_plan([agent((10, 5), (20, 5)), agent((30, 5))])

    async def main() -> list[tuple[float, int, int]]:
        async with recorded(plan, "agents") as (world, sent):
            done: list[RequestRecord] = []
            population = AgentPopulation(world, plan, "sched", done.append)
            population.start()
            await asyncio.sleep(2)
            population.handle(Done(record_of(submitted(sent)[0])))
            await asyncio.sleep(1)
            assert not population.completed.done()
            for request in submitted(sent)[1:]:
                population.handle(Done(record_of(request)))
            await population.completed
        assert population.done == population.total == len(done) == 3
        return [(request.submit_s, request.agent, request.turn) for request in submitted(sent)]

    assert run(main()) == [(0.0, 0, 0), (0.0, 1, 0), (2.0, 0, 1)]


def test_a_message_for_somebody_else_is_an_error() -> None:
    plan = make_plan([agent((1, 1))])

    async def main() -> None:
        async with recorded(plan, "agents") as (world, _):
            population = AgentPopulation(world, plan, "sched", lambda _: None)
            with pytest.raises(TypeError, match="agents cannot handle Submit"):
                population.handle(Submit(Request(1, 0, 0, (), 1, 0, 1, 0.0)))

    run(main())
