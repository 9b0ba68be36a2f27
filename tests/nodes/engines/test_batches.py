"""Claims: batches take requests in their order, and only those that HBM can take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nodes.engines.batches import Batches, Job, Part
from nodes.protocol.messages import Assign, Request
from nodes.scheduling.intra_engine import Chunk
from nodes.worlds.virtual.loop import run

TOKENS = 64
PROMPT = 1000
ROWS = 16


def job(number: int, hits: int = 3) -> Job:
    request = Request(number, number, 0, ((0, ROWS),), PROMPT, hits * TOKENS, 1, 0.0)
    assign = Assign(request, "pe0.0", "de0.0", hits, 0.0, 1)
    return Job(assign, ROWS, hits, hits, hits * TOKENS)


def numbers(parts: list[Part]) -> list[int]:
    return [part.job.request.number for part in parts]


def three(claim: Callable[[Batches, list[Job]], Awaitable[None]]) -> None:
    """Three requests in the queue, whose hits are where batches need them; none is admitted."""

    async def main() -> None:
        batches, jobs = Batches(list, TOKENS), [job(number) for number in range(3)]
        for one in jobs:
            batches.add(one)
            one.here.set_result(None)
        await claim(batches, jobs)

    run(main())


def test_a_batch_waits_for_the_first_request_to_be_admitted() -> None:
    async def claim(batches: Batches, jobs: list[Job]) -> None:
        ready = asyncio.ensure_future(batches.ready())
        await asyncio.sleep(1)
        assert not ready.done()
        batches.admit(jobs[0])
        await ready
        assert numbers(batches.form()) == [0]

    three(claim)


def test_a_batch_ends_before_the_first_request_that_is_not_admitted() -> None:
    async def claim(batches: Batches, jobs: list[Job]) -> None:
        for number in (0, 2):
            batches.admit(jobs[number])
        assert numbers(batches.form()) == [0]

    three(claim)


def test_who_is_dropped_holds_up_nobody() -> None:
    """Neither those behind it, nor the batch that waited for it."""

    async def claim(batches: Batches, jobs: list[Job]) -> None:
        batches.admit(jobs[1])
        ready = asyncio.ensure_future(batches.ready())
        await asyncio.sleep(1)
        batches.drop(jobs[0])
        await ready
        assert numbers(batches.form()) == [1]

    three(claim)


def test_whoever_hbm_can_take_is_called_and_a_batch_is_of_those_who_came() -> None:
    """The second is dropped meanwhile, the third is not admitted."""

    async def main() -> None:
        batches, jobs = Batches(list, TOKENS), [job(number) for number in range(3)]
        for one in jobs:
            batches.add(one)
        for one in jobs[:2]:
            batches.admit(one)
        bringing = asyncio.ensure_future(batches.bring(asyncio.sleep(1)))
        await asyncio.sleep(2)
        assert [one.called.done() for one in jobs] == [True, True, False]
        jobs[0].here.set_result(None)
        await asyncio.sleep(1)
        assert not bringing.done()
        batches.drop(jobs[1])
        await bringing
        assert numbers(batches.form()) == [0]

    run(main())


def test_whoever_is_admitted_before_a_batch_is_closed_is_called_at_once() -> None:
    async def main() -> None:
        batches, jobs = Batches(list, TOKENS), [job(number) for number in range(3)]
        for one in jobs:
            batches.add(one)
        batches.admit(jobs[0])
        bringing = asyncio.ensure_future(batches.bring(asyncio.sleep(2)))
        await asyncio.sleep(1)
        batches.admit(jobs[1])
        assert jobs[1].called.done()
        await asyncio.sleep(2)
        batches.admit(jobs[2])
        for one in jobs[:2]:
            one.here.set_result(None)
        await bringing
        assert not jobs[2].called.done()
        assert numbers(batches.form()) == [0, 1]

    run(main())


def test_a_request_is_waiting_until_a_batch_has_its_end() -> None:
    async def main() -> list[bool]:
        halves: list[Chunk] = []

        def half(queue: list[Chunk]) -> list[Chunk]:
            [work] = queue
            halves.append(work)
            return [Chunk(work.request, work.cached, -(-work.bsz // (3 - len(halves))))]

        batches, one = Batches(half, TOKENS), job(0)  # type: ignore[arg-type]
        batches.add(one)
        one.here.set_result(None)
        batches.admit(one)
        waiting = []
        for _ in range(2):
            batches.form()
            waiting.append(batches.waiting)
        return waiting

    assert run(main()) == [True, False]


def test_parts_complete_every_row_once() -> None:
    """The last one, which the prompt fills in part, with the end of the prompt."""

    async def main() -> list[tuple[int, int, bool]]:
        batches, one = Batches(_one_token_beyond_a_block, TOKENS), job(0)
        batches.add(one)
        one.here.set_result(None)
        batches.admit(one)
        parts = []
        while batches.waiting:
            parts += batches.form()
        return [(part.lo, part.hi, part.first) for part in parts]

    found = run(main())
    assert found[0] == (3, 4, True)
    assert [first for _, _, first in found[1:]] == [False] * (len(found) - 1)
    assert [lo for lo, _, _ in found[1:]] == [hi for _, hi, _ in found[:-1]]
    assert found[-1][1] == ROWS


def _one_token_beyond_a_block(queue: object) -> list[Chunk]:
    assert isinstance(queue, list)
    [work] = queue
    return [Chunk(work.request, work.cached, min(TOKENS + 1, work.bsz))]
