"""Claims about where tasks wait."""

from __future__ import annotations

import asyncio
import inspect

from nodes.worlds.waiting import place_of, waiting_tasks


async def deep(event: asyncio.Event) -> None:
    await event.wait()


async def outer(event: asyncio.Event) -> None:
    await deep(event)


def test_a_task_waits_where_its_innermost_await_outside_of_asyncio_is() -> None:
    async def main() -> list[tuple[str, str]]:
        event = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outer(event), name="de0 serves")
            await asyncio.sleep(0)
            found = waiting_tasks(asyncio.get_running_loop())
            event.set()
        return found

    places = dict(asyncio.run(main()))
    line = inspect.getsourcelines(deep)[1] + 1
    assert places["de0 serves"] == f"tests/nodes/worlds/test_waiting.py:{line} in deep"


def test_a_place_outside_of_the_project_is_named_in_full() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    while frame.f_back is not None:
        frame = frame.f_back
    assert place_of(frame).startswith(f"{frame.f_code.co_filename}:")
