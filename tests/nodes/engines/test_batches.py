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
    """Three requests in the queue, none of them admitted."""

    async def main() -> None:
        batches, jobs = Batches(list, TOKENS), [job(number) for number in range(3)]
        for one in jobs:
            batches.add(one)
        await claim(batches, jobs)

    run(main())


def test_a_batch_waits_for_the_first_request_to_be_admitted() -> None:
    async def claim(batches: Batches, jobs: list[Job]) -> None:
        forming = asyncio.ensure_future(batches.form())
        await asyncio.sleep(1)
        assert not forming.done()
        batches.admit(jobs[0])
        assert numbers(await forming) == [0]

    three(claim)


def test_a_batch_ends_before_the_first_request_that_is_not_admitted() -> None:
    async def claim(batches: Batches, jobs: list[Job]) -> None:
        for number in (0, 2):
            batches.admit(jobs[number])
        assert numbers(await batches.form()) == [0]

    three(claim)


def test_who_is_dropped_holds_up_nobody() -> None:
    """Neither those behind it, nor the batch that waited for it."""

    async def claim(batches: Batches, jobs: list[Job]) -> None:
        batches.admit(jobs[1])
        forming = asyncio.ensure_future(batches.form())
        await asyncio.sleep(1)
        batches.drop(jobs[0])
        assert numbers(await forming) == [1]

    three(claim)


def test_a_request_is_waiting_until_a_batch_has_its_end() -> None:
    async def main() -> list[bool]:
        halves: list[Chunk] = []

        def half(queue: list[Chunk]) -> list[Chunk]:
            [work] = queue
            halves.append(work)
            return [Chunk(work.request, work.cached, -(-work.bsz // (3 - len(halves))))]

        batches, one = Batches(half, TOKENS), job(0)  # type: ignore[arg-type]
        batches.add(one)
        batches.admit(one)
        waiting = []
        for _ in range(2):
            await batches.form()
            waiting.append(batches.waiting)
        return waiting

    assert run(main()) == [True, False]


def test_parts_complete_every_row_once() -> None:
    """The last one, which the prompt fills in part, with the end of the prompt."""

    async def main() -> list[tuple[int, int, bool]]:
        batches, one = Batches(_one_token_beyond_a_block, TOKENS), job(0)
        batches.add(one)
        batches.admit(one)
        parts = []
        while batches.waiting:
            parts += await batches.form()
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
