"""Claims: absolute deadlines on the wall, in order, with every wake-up's lateness."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest

from nodes.worlds.sockets import wall_clock
from nodes.worlds.sockets.wall_clock import LOOK_S, WallClock
from plan.scale import Scale

NEAR_S = 0.002
"""Wall seconds until the deadlines of these tests."""


def with_clock(test: Callable[[WallClock], Awaitable[None]], dilation: float = 1.0) -> None:
    async def main() -> None:
        scale = Scale(byte_scale=1.0, dilation=dilation)
        with closing(WallClock(scale, asyncio.get_running_loop())) as clock:
            await test(clock)

    asyncio.run(main())


@pytest.mark.parametrize("dilation", [0.5, 1.0, 4.0])
def test_a_deadline_is_never_early_and_counts_model_seconds(dilation: float) -> None:
    async def test(clock: WallClock) -> None:
        start = time.monotonic()
        clock.begin(start)
        await clock.sleep_until(NEAR_S / dilation)
        assert time.monotonic() - start >= NEAR_S
        assert clock.now() >= NEAR_S / dilation

    with_clock(test, dilation)


def test_zero_is_the_common_start_of_all_processes() -> None:
    async def test(clock: WallClock) -> None:
        clock.begin(time.monotonic() - 100)
        assert 50 <= clock.now() < 51

    with_clock(test, dilation=2.0)


def test_a_deadline_that_has_passed_is_over_at_once() -> None:
    async def test(clock: WallClock) -> None:
        before = clock.now()
        await clock.sleep_until(before - 1)
        await clock.sleep_until(-1e6)

    with_clock(test)


def test_deadlines_are_met_in_their_order_whatever_order_they_were_set_in() -> None:
    async def test(clock: WallClock) -> None:
        met: list[int] = []

        async def wait(number: int, deadline_s: float) -> None:
            await clock.sleep_until(deadline_s)
            met.append(number)

        start = clock.now() + NEAR_S
        async with asyncio.TaskGroup() as tasks:
            for number in (3, 1, 4, 0, 2):
                tasks.create_task(wait(number, start + number * 1e-4))
        assert met == [0, 1, 2, 3, 4]

    with_clock(test)


def test_a_deadline_below_a_millisecond_is_not_rounded_up_to_one() -> None:
    """asyncio's own timers would take a millisecond each, 20 ms in all."""

    async def test(clock: WallClock) -> None:
        best = min([await hundred_microseconds(clock) for _ in range(20)])
        assert best < 0.9e-3

    async def hundred_microseconds(clock: WallClock) -> float:
        begun = time.monotonic()
        await clock.sleep_until(clock.now() + 1e-4)
        return time.monotonic() - begun

    with_clock(test)


def test_the_lateness_of_every_wake_up_is_known_in_model_seconds() -> None:
    async def test(clock: WallClock) -> None:
        assert clock.lateness_s() is None
        late_s = 5.0
        await clock.sleep_until(clock.now() - late_s)
        for _ in range(2):
            await clock.sleep_until(clock.now() + 1e-4)
        found = clock.lateness_s()
        assert found is not None
        median, p99, most = found
        assert 0 <= median <= p99 <= most
        assert most == pytest.approx(late_s, abs=1.0)
        assert median < 1.0

    with_clock(test, dilation=0.1)


def test_a_cancelled_wait_does_not_hold_up_the_others() -> None:
    async def test(clock: WallClock) -> None:
        cancelled = clock.sleep_until(clock.now() + NEAR_S / 2)
        kept = clock.sleep_until(clock.now() + NEAR_S)
        cancelled.cancel()
        await kept

    with_clock(test)


def test_a_clock_knows_how_many_alarms_are_set_and_how_many_have_rung() -> None:
    async def test(clock: WallClock) -> None:
        clock.sleep_until(clock.now() + 1e6)
        given_up = clock.sleep_until(clock.now() + 1e6)
        given_up.cancel()
        near = clock.sleep_until(clock.now() + NEAR_S)
        assert (clock.rung, clock.alarms) == (0, 2)
        await near
        assert (clock.rung, clock.alarms) == (1, 1)

    with_clock(test)


def test_a_program_that_stood_still_notices_how_long_before_anybody_is_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped_s, running = 7.0, time.monotonic

    async def test(clock: WallClock) -> None:
        clock.begin(time.monotonic())
        clock.look_for_stops()
        await clock.sleep_until(NEAR_S)
        assert clock.stood_s == 0.0
        stood: list[float] = []
        woken = clock.sleep_until(1.0)
        woken.add_done_callback(lambda _: stood.append(clock.stood_s))
        monkeypatch.setattr(time, "monotonic", lambda: running() + stopped_s)
        await woken
        assert stood[0] == pytest.approx(stopped_s / 2.0, abs=2 * LOOK_S)

    with_clock(test, dilation=2.0)


def test_where_stops_are_not_looked_for_a_long_wait_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody looks between two alarms that are far from each other."""
    monkeypatch.setattr(wall_clock, "STOOD_S", NEAR_S / 100)

    async def test(clock: WallClock) -> None:
        for _ in range(2):
            await clock.sleep_until(clock.now() + NEAR_S)
        assert clock.stood_s == 0.0

    with_clock(test)
