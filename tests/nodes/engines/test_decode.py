"""Claims: a decode engine batches all it has, step by step; full blocks are persisted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Mapping
from itertools import accumulate
from math import inf

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.engines.decode import DecodeEngine, Sequence
from nodes.engines.memory import allocated
from nodes.protocol.messages import Assign, Request
from nodes.timing.compute import DecodeStep, attended
from nodes.timing.timing import timing_of
from nodes.worlds.virtual.loop import run
from plan.deployment import System
from plan.model import Plan
from tests.examples import tries
from tests.nodes.plans import (
    BASIC,
    GROUPS,
    LAYER_BLOCK_BYTES,
    LAYERWISE,
    ORACLE,
    SYSTEMS,
    TOKENS,
    agent,
    make_plan,
)
from tests.nodes.recording import recorded
from tests.nodes.simulated import simulate

Joining = tuple[float, int, int]
"""(time of joining in model seconds, prompt, gen)."""
Standing = tuple[float, float]
"""(when the engine is asked to do something between its steps, how long that takes), s."""

Outcome = tuple[dict[int, float], dict[int, float], dict[tuple[int, int], float]]
"""Times of the second token, of the last one, and of each (request, persisted row)."""


def served(
    plan: Plan,
    joinings: list[Joining],
    leavings: Mapping[int, float] | None = None,
    standings: Collection[Standing] = (),
) -> Outcome:
    """What a decode engine does with requests that join over time.

    Args:
        leavings: request -> when its task is cancelled, model seconds.
    """
    second: dict[int, float] = {}
    done: dict[int, float] = {}
    persisted: dict[tuple[int, int], float] = {}

    async def main() -> None:
        async with recorded(plan, "de0") as (world, _):

            def persist(sequence: Sequence, row: int) -> None:
                persisted[sequence.assign.request.number, row] = world.clock.now()

            engine = DecodeEngine(world, plan, timing_of(plan, "decode"), "de0.0", persist)
            running = world.spawn(engine.run())

            async def serve(number: int, joining: Joining) -> None:
                at_s, prompt, gen = joining
                await world.clock.sleep_until(at_s)
                request = Request(number, 0, 0, ((0, 99),), prompt, 0, gen, 0.0)
                hbm = allocated(world, 99)
                sequence = Sequence(Assign(request, "pe0.0", "de0.0", 0, 0.0, 1), hbm)
                try:
                    await engine.decode(sequence)
                    done[number] = world.clock.now()
                finally:
                    if sequence.second_s is not None:
                        second[number] = sequence.second_s

            async def stand(at_s: float, for_s: float) -> None:
                clock = world.clock
                await clock.sleep_until(at_s)
                await engine.between_steps(lambda: clock.sleep_until(clock.now() + for_s))

            async with asyncio.TaskGroup() as tasks:
                for standing in standings:
                    tasks.create_task(stand(*standing))
                for number, joining in enumerate(joinings):
                    task = tasks.create_task(serve(number, joining))
                    if leavings and number in leavings:
                        asyncio.get_running_loop().call_at(leavings[number], task.cancel)
            running.cancel()

    run(main())
    return second, done, persisted


def step_by_step(
    plan: Plan,
    joinings: list[Joining],
    leavings: Mapping[int, float] | None = None,
    standings: Collection[Standing] = (),
) -> Outcome:
    """The same, one step and one request after another."""
    asked = deque(sorted(standings))
    leaving = dict(leavings or {})
    second: dict[int, float] = {}
    done: dict[int, float] = {}
    persisted: dict[tuple[int, int], float] = {}
    waiting = dict(sorted(enumerate(joinings), key=lambda item: item[1][0]))
    waiting = {n: j for n, j in waiting.items() if leaving.get(n, inf) > j[0]}
    steps: dict[int, int] = {}
    now = 0.0
    while waiting or steps:
        first_s = min((at_s for at_s, _, _ in waiting.values()), default=inf)
        if not steps:
            now = max(now, min(first_s, asked[0][0] if asked else inf))
        now += sum(asked.popleft()[1] for _ in range(sum(at_s <= now for at_s, _ in asked)))
        if not steps and first_s > now:
            continue
        for number in [n for n, (at_s, _, _) in waiting.items() if at_s <= now]:
            del waiting[number]
            steps[number] = 0
        contexts = [joinings[number][1] + taken for number, taken in steps.items()]
        now += DecodeStep(plan.model, plan.gpu, plan.ep_group["decode"]).seconds(
            len(contexts),
            sum(contexts),
            sum(attended(plan.model, context) for context in contexts),
        )
        for number in [n for n, at_s in leaving.items() if at_s <= now]:
            waiting.pop(number, None)
            steps.pop(number, None)
        for number in list(steps):
            _, prompt, gen = joinings[number]
            steps[number] += 1
            if steps[number] == 1:
                second[number] = now
            if (prompt + steps[number]) % TOKENS == 0:
                persisted[number, (prompt + steps[number]) // TOKENS - 1] = now
            if steps[number] == gen - 1:
                done[number] = now
                del steps[number]
    return second, done, persisted


JOININGS = st.lists(
    st.tuples(st.integers(0, 500), st.integers(1, 2000), st.integers(2, 200)),
    min_size=1,
    max_size=5,
    unique_by=lambda joining: joining[0],
)
"""(ms, prompt, gen); prompts below and above the top 1024 tokens that DS 27B attends."""


@tries(40)
@given(JOININGS)
def test_the_calendar_agrees_with_a_batch_stepped_request_by_request(
    joinings: list[tuple[int, int, int]],
) -> None:
    """Prompts below and above the top 1024 tokens that DS 27B attends."""
    plan = make_plan([])
    timed = [(at_ms / 1000, prompt, gen) for at_ms, prompt, gen in joinings]
    for found, expected in zip(served(plan, timed), step_by_step(plan, timed), strict=True):
        assert found == pytest.approx(expected, abs=1e-9)


@tries(40)
@given(
    JOININGS,
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(1, 60)),
        min_size=1,
        max_size=8,
        unique_by=lambda standing: standing[0],
    ),
)
def test_no_step_is_under_way_while_an_engine_does_something_else(
    joinings: list[tuple[int, int, int]], standings: list[tuple[int, int]]
) -> None:
    """Asked for between two milliseconds, and so never at the moment of a join."""
    plan = make_plan([])
    timed = [(at_ms / 1000, prompt, gen) for at_ms, prompt, gen in joinings]
    asked = [((at_ms + 0.4999) / 1000, (for_ms + 0.0003) / 1000) for at_ms, for_ms in standings]
    found, expected = (way(plan, timed, None, asked) for way in (served, step_by_step))
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-9)


@given(
    JOININGS,
    st.dictionaries(st.integers(0, 4), st.integers(0, 2000), min_size=1),
)
@tries(40)
def test_a_request_whose_task_is_cancelled_leaves_the_batch_as_if_it_had_ended_there(
    joinings: list[tuple[int, int, int]], leavings: dict[int, int]
) -> None:
    """Cancelled between two milliseconds, and so never at the moment of a join."""
    plan = make_plan([])
    timed = [(at_ms / 1000, prompt, gen) for at_ms, prompt, gen in joinings]
    leaving = {n: (at_ms + 0.4999) / 1000 for n, at_ms in leavings.items() if n < len(joinings)}
    found, expected = served(plan, timed, leaving), step_by_step(plan, timed, leaving)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-9)


def test_what_is_done_between_steps_ends_well_without_its_engine() -> None:
    async def main() -> float:
        plan = make_plan([])
        async with recorded(plan, "de0") as (world, _):
            timing = timing_of(plan, "decode")
            engine = DecodeEngine(world, plan, timing, "de0.0", lambda *_: None)
            running = world.spawn(engine.run())
            asyncio.get_running_loop().call_at(0.5, running.cancel)
            await engine.between_steps(lambda: world.clock.sleep_until(1.0))
            return world.clock.now()

    assert run(main()) == 1.0


def test_a_block_is_persisted_when_its_last_token_has_its_kv() -> None:
    """The last generated token is never fed back: 100 + 93 tokens leave 192 with KV."""
    _, done, persisted = served(make_plan([]), [(0.0, 100, 93)])
    assert set(persisted) == {(0, 1), (0, 2)}
    assert persisted[0, 2] == done[0]
    _, _, persisted = served(make_plan([]), [(0.0, 100, 92)])
    assert set(persisted) == {(0, 1)}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_who_decodes_stands_while_others_are_copied(system: System) -> None:
    """Of two turns the second is long and comes when the first decodes: its KV's way to HBM is
    what the first one's last token is later by, but for steps with two sequences."""
    cnic_bps, prompt = 1e9, 1280
    alone = make_plan([agent((64, 4000))], cnic_bps=cnic_bps)
    two = make_plan([agent((64, 4000)), agent((prompt, 2))], cnic_bps=cnic_bps)
    (one,), (other, _) = (
        sorted(simulate(plan, system, 1.0).records, key=lambda record: record.prompt_tokens)
        for plan in (alone, two)
    )
    assert one.done_s is not None
    assert one.second_s is not None
    assert other.done_s is not None
    assert other.second_s is not None
    copy_s = prompt / TOKENS * GROUPS * LAYER_BLOCK_BYTES * 8 / cnic_bps
    later_s = (other.done_s - other.second_s) - (one.done_s - one.second_s)
    assert later_s == pytest.approx(copy_s if system.io else 0.0, abs=0.1 * copy_s)


def test_one_generated_token_needs_no_decoding() -> None:
    (record,) = simulate(make_plan([agent((100, 1))]), ORACLE, 1.0).records
    assert record.second_s is None
    assert record.first_s is not None
    assert record.done_s == pytest.approx(record.first_s, abs=1e-3)


def with_hbm(plan: Plan, tokens: int) -> Plan:
    """HBM for the weights and the KV-Cache of so many tokens."""
    needed = plan.model.weight_bytes + tokens * plan.model.token_bytes
    return msgspec.structs.replace(plan, gpu=msgspec.structs.replace(plan.gpu, hbm_bytes=needed))


def test_decode_waits_for_hbm() -> None:
    """Two turns of 700 tokens in HBM for 1000: one after the other; in HBM for 1500: together."""
    plan = make_plan([agent((600, 100))] * 2)
    one, other = simulate(with_hbm(plan, 1000), LAYERWISE, 1.0).records
    assert one.done_s is not None
    assert other.second_s is not None
    assert other.second_s > one.done_s
    one, other = simulate(with_hbm(plan, 1500), LAYERWISE, 1.0).records
    assert one.done_s is not None
    assert other.second_s is not None
    assert other.second_s < one.done_s


def test_a_turn_that_can_never_fit_is_an_error_not_a_wait() -> None:
    plan = with_hbm(make_plan([agent((600, 100))]), 650)
    with pytest.raises(ExceptionGroup) as caught:
        simulate(plan, BASIC, 1.0)
    assert caught.group_contains(
        ValueError, match=r"700 asked of HBM of de0\.0 \(tokens\), which has 650"
    )


def most_decoding(plan: Plan, system: System) -> int:
    """Tokens of those that decode in one engine, at the worst moment."""
    changes: list[tuple[float, int]] = []
    for record in simulate(plan, system, 1.0).records:
        assert record.second_s is not None
        assert record.done_s is not None
        tokens = record.prompt_tokens + record.gen_tokens
        changes += [(record.second_s, tokens), (record.done_s, -tokens)]
    return max(accumulate(change for _, change in sorted(changes)))


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_no_system_has_more_in_a_decode_engine_than_its_hbm_holds(system: System) -> None:
    """Nor would they keep to it by themselves."""
    roomy = make_plan([agent((500, 200), (100, 200))] * 12)
    room = 2500
    needed = roomy.model.weight_bytes + room * roomy.model.token_bytes
    tight = msgspec.structs.replace(
        roomy, gpu=msgspec.structs.replace(roomy.gpu, hbm_bytes=needed + 1)
    )
    assert most_decoding(tight, system) <= room < most_decoding(roomy, system)
