"""Claims: what one message brings one task gets, whichever comes first."""

from __future__ import annotations

import asyncio

import pytest

from nodes.engines.arrivals import Arrivals
from nodes.protocol.messages import Attempt
from nodes.worlds.virtual.loop import run

ONE, NEXT = Attempt(1, 1), Attempt(1, 2)


@pytest.mark.parametrize("brought_s", [1.0, 3.0], ids=["value first", "task first"])
def test_a_value_is_taken_by_who_waits_for_it(brought_s: float) -> None:
    async def main() -> str:
        arrivals = Arrivals[str]()
        loop = asyncio.get_running_loop()
        loop.call_at(brought_s, arrivals.bring, ONE, "hits")
        loop.call_at(brought_s, arrivals.bring, NEXT, "others")
        await asyncio.sleep(2)
        return await arrivals.take(ONE)

    assert run(main()) == "hits"


def test_a_value_that_comes_just_as_its_taker_is_cancelled_is_nobody_s() -> None:
    async def main() -> bool:
        arrivals = Arrivals[str]()
        taking = asyncio.ensure_future(arrivals.take(ONE))
        await asyncio.sleep(1)
        taking.cancel()
        arrivals.bring(ONE, "hits")
        await asyncio.wait([taking])
        return taking.cancelled()

    assert run(main())
