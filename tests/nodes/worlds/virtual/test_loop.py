"""Claims: virtual time costs no waiting, is deterministic, and names a deadlock."""

from __future__ import annotations

import asyncio
import time

import pytest

from nodes.worlds.virtual.loop import VirtualTimeLoop, run
from plan.errors import Deadlock


def test_a_day_of_sleep_takes_no_time() -> None:
    async def day() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    assert run(day()) == 86_400
    assert time.monotonic() - started < 1


def test_timers_of_one_instant_run_in_the_order_they_were_set() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        ran: list[int] = []
        loop.call_at(2.0, ran.append, 3)
        for i in range(3):
            loop.call_at(1.0, ran.append, i)
        await asyncio.sleep(5)
        return ran

    assert run(main()) == [0, 1, 2, 3]


def test_a_timer_for_now_waits_until_nothing_else_is_ready() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        order: list[str] = []
        loop.call_at(loop.time(), order.append, "timer")
        for _ in range(10):
            await asyncio.sleep(0)
        order.append("ready")
        await asyncio.sleep(1)
        return order

    assert run(main()) == ["ready", "timer"]


def test_sleep_until_is_absolute_and_at_once_in_the_past() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        seen = []
        for deadline in (3.0, 1.0, 4.5):
            await loop.sleep_until(deadline)
            seen.append(loop.time())
        return seen

    assert run(main()) == [3.0, 3.0, 4.5]


def test_timeouts_and_cancellation_work_as_in_asyncio() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.sleep(10)
        async with asyncio.timeout(100):
            await asyncio.sleep(1)
        return loop.time()

    assert run(main()) == 3.5


def test_a_cancelled_sleep_until_is_forgotten() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.sleep_until(1.0).cancel()
        await loop.sleep_until(2.0)
        return loop.time()

    assert run(main()) == 2.0


def test_cancelled_timers_neither_run_nor_pile_up() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        ran: list[int] = []
        for i in range(10_000):
            loop.call_at(1e6, ran.append, i).cancel()
        kept = len(loop.agenda.timers)  # type: ignore[attr-defined]
        await asyncio.sleep(2e6)
        assert not ran
        return kept

    assert run(main()) < 200


def test_a_deadlock_names_the_tasks_and_the_lines_where_they_wait() -> None:
    async def waits_forever(event: asyncio.Event) -> None:
        await event.wait()

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(waits_forever(asyncio.Event()), name="decode engine 3")

    with pytest.raises(Deadlock, match=r"decode engine 3 waits at .*test_loop") as caught:
        run(main())
    places = dict(caught.value.waiting)
    line = waits_forever.__code__.co_firstlineno + 1
    assert f":{line} in " in places["decode engine 3"]
    assert "waits_forever" in places["decode engine 3"]


def test_no_deadlock_is_reported_while_a_timer_is_set() -> None:
    async def main() -> str:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(7, event.set)
        await event.wait()
        return "woken"

    assert run(main()) == "woken"


def test_a_failure_in_a_task_reaches_the_caller() -> None:
    async def fails() -> None:
        await asyncio.sleep(1)
        raise ZeroDivisionError

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails())
            tasks.create_task(asyncio.sleep(1e9))

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(ZeroDivisionError)


def test_a_closed_loop_takes_no_more_work() -> None:
    loop = VirtualTimeLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(print)
