"""Claims: contexts grow as trajectories say; turns follow each other without a pause."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.agents.context import Agent
from nodes.agents.population import AgentPopulation
from nodes.protocol.blocks import Runs, stem_id
from nodes.protocol.messages import Done, FirstToken, Left, Request, Submit
from nodes.worlds.virtual.loop import run
from nodes.worlds.virtual.world import VirtualWorld
from plan.arrivals import Arrivals, Gaps
from plan.end import End
from plan.records import RequestRecord
from plan.workload import Stems, Trajectory, Turn
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


def with_stems(number: int, preloaded: int, stems: Stems, *turns: Turn) -> list[Runs]:
    trajectory = msgspec.structs.replace(agent(preloaded=preloaded), stems=stems)
    made = Agent(number, trajectory, TOKENS)
    return [made.request(index, index, turn, 0.0).runs for index, turn in enumerate(turns)]


def test_blocks_of_stems_are_the_agent_s_first_until_it_keeps_less() -> None:
    stems = ((3, 2 * TOKENS), (5, 5 * TOKENS))
    turns = (Turn(TOKENS, TOKENS), Turn(4 * TOKENS, 1), Turn(3 * TOKENS, 1, TOKENS + 1))
    first, second, third = with_stems(7, 2 * TOKENS, stems, *turns)
    assert first == ((stem_id(3, 0), 2), (stem_id(5, 2), 2))
    assert second == ((stem_id(3, 0), 2), (stem_id(5, 2), 3), (0, 4))
    assert third == ((stem_id(3, 0), 1), (4, 4))  # whatever comes behind what it kept is new


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


def served(sent: Sent) -> list[tuple[float, int, int]]:
    """(when, agent, turn) of all that was submitted."""
    asked = [message.request for _, message in sent if isinstance(message, Submit)]
    return [(request.submit_s, request.agent, request.turn) for request in asked]


async def serve_all(population: AgentPopulation, sent: Sent, world: VirtualWorld) -> None:
    """Every request is done half a second after it is seen, to the run's end."""
    seen = 0
    while not population.completed.done():
        await asyncio.sleep(0.5)
        asked = [message.request for _, message in sent if isinstance(message, Submit)]
        for request in asked[seen:]:
            record = record_of(request)
            record.first_s = record.done_s = world.clock.now()
            population.handle(Done(record))
        seen = len(asked)


def test_agents_come_when_they_do_and_think_between_their_turns() -> None:
    turns = (Turn(10, 5), Turn(20, 5, None, 3.0))
    late = [Trajectory(name="late", turns=turns, start_s=start_s) for start_s in (1.0, 10.0)]
    plan = msgspec.structs.replace(
        make_plan(late), arrivals=Arrivals(), gaps=Gaps(kind="recorded", scale=2.0)
    )

    async def main() -> None:
        async with recorded(plan, "agents") as (world, sent):
            population = AgentPopulation(world, plan, "sched", lambda _: None)
            population.start()
            await serve_all(population, sent, world)
            assert [(agent, turn) for _, agent, turn in served(sent)] == [
                (0, 0),
                (0, 1),
                (1, 0),
                (1, 1),
            ]
            times = [at_s for at_s, _, _ in served(sent)]
            assert (times[0], times[2]) == (1.0, 10.0)
            assert times[1] - times[0] == pytest.approx(6.5, abs=0.1)  # 0.5 s served, 2 x 3 s
            assert [message for _, message in sent if isinstance(message, Left)] == [Left(0, 1)]
            ending = population.completed.result()
            assert (ending.ended_by, ending.agents, ending.agents_done) == ("all served", 2, 2)
            assert ending.to_s == max(times) + 0.5

    run(main())


def test_at_the_end_nobody_asks_any_more_and_what_is_under_way_is_told_once() -> None:
    plan = msgspec.structs.replace(
        make_plan([agent((10, 5), (20, 5))]),
        arrivals=Arrivals(rates=((0.0, 1.0),)),
        end=End(after_s=20.5, warmup_s=5.0),
    )

    async def main() -> None:
        async with recorded(plan, "agents") as (world, sent):
            told: list[RequestRecord] = []
            population = AgentPopulation(world, plan, "sched", told.append)
            population.start()
            await asyncio.sleep(20)
            first = submitted(sent)[0]
            population.handle(Done(record_of(first)))
            ending = await population.completed
            asked = len(submitted(sent))
            assert (ending.ended_by, ending.from_s, ending.to_s) == ("after", 5.0, 20.5)
            assert ending.under_way == asked - 1 == len(told) - 1
            assert (ending.agents, ending.agents_done) == (asked - 1, 0)
            assert {record.request for record in told} == {r.number for r in submitted(sent)}
            assert all(record.done_s is None and record.error is None for record in told)
            for request in submitted(sent)[1:]:
                population.handle(FirstToken(request.number, 21.0))
                population.handle(Done(record_of(request)))
            await asyncio.sleep(50)
            assert len(told) == asked == len(submitted(sent))

    run(main())


def test_a_run_ends_with_so_many_agents() -> None:
    plan = msgspec.structs.replace(
        make_plan([agent((10, 5))]),
        arrivals=Arrivals(rates=((0.0, 1.0),)),
        end=End(agents=10),
    )

    async def main() -> None:
        async with recorded(plan, "agents") as (world, sent):
            population = AgentPopulation(world, plan, "sched", lambda _: None)
            population.start()
            await serve_all(population, sent, world)
            ending = population.completed.result()
            assert ending.ended_by == "agents"
            assert 10 <= ending.agents_done <= 15

    run(main())


def test_a_message_for_somebody_else_is_an_error() -> None:
    plan = make_plan([agent((1, 1))])

    async def main() -> None:
        async with recorded(plan, "agents") as (world, _):
            population = AgentPopulation(world, plan, "sched", lambda _: None)
            with pytest.raises(TypeError, match="agents cannot handle Submit"):
                population.handle(Submit(Request(1, 0, 0, (), 1, 0, 1, 0.0)))

    run(main())
