"""What a task waits for is told by the place of its innermost await."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nodes.engines.arrivals import Arrivals
from nodes.protocol.messages import Attempt
from nodes.worlds.waiting import waiting_tasks

ROOT = Path(__file__).parents[3]


def waiting(*names: str) -> list[tuple[str, str]]:
    """Tasks of those names that wait for an arrival, and this one, as they are told."""

    async def main() -> list[tuple[str, str]]:
        arrivals: Arrivals[None] = Arrivals()
        tasks = [
            asyncio.create_task(arrivals.take(Attempt(number, 1)), name=name)
            for number, name in enumerate(names)
        ]
        await asyncio.sleep(0)
        found = waiting_tasks(asyncio.get_running_loop())
        for number, task in enumerate(tasks):
            arrivals.bring(Attempt(number, 1), None)
            await task
        return [(name, place) for name, place in found if name in names]

    return asyncio.run(main())


def test_the_place_is_the_line_that_waits_and_not_asyncio_s() -> None:
    [(_, place)] = waiting("pe0 read")
    file, _, rest = place.partition(":")
    line = (ROOT / file).read_text().splitlines()[int(rest.split()[0]) - 1]
    assert "await" in line
    assert rest.endswith("in Arrivals.take")


def test_all_that_wait_are_told_in_the_order_of_their_names() -> None:
    assert [name for name, _ in waiting("b", "a", "c")] == ["a", "b", "c"]
