"""Claims: a run in virtual time that is busy without coming further ends, and says with what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from unittest.mock import patch

import pytest

from nodes.engines.prefill_node import PrefillNode
from nodes.protocol.messages import Message
from nodes.scheduling.leader import Leader
from nodes.worlds.virtual import progress
from nodes.worlds.virtual.loop import VirtualTimeLoop, run, running
from nodes.worlds.virtual.progress import Progress, time_has_to_pass
from plan.errors import Livelock
from tests.nodes.plans import DUALPATH, agent, make_plan
from tests.nodes.simulated import simulate


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "IDLE_S", 60.0)
    monkeypatch.setattr(progress, "IDLE_TIMERS", 1000)


def watched(test: Callable[[VirtualTimeLoop, Progress], Awaitable[None]]) -> None:
    """Run a test in virtual time beside a watch for progress."""

    async def main() -> None:
        await test(running(), Progress(running()))

    run(main())


async def tick(loop: VirtualTimeLoop, timers: int, for_s: float) -> None:
    for _ in range(timers):
        await loop.sleep_until(loop.time() + for_s / timers)


def test_timers_without_a_request_or_a_byte_are_a_livelock() -> None:
    async def test(loop: VirtualTimeLoop, progress: Progress) -> None:
        progress.look(3, 1e9)
        await tick(loop, 2000, 100.0)
        with pytest.raises(Livelock, match=r"livelock at model time 100 s: since 0 s 2000 timers"):
            progress.look(3, 1e9)

    watched(test)


@pytest.mark.parametrize(("done", "moved_bytes"), [(4, 1e9), (3, 1.1e9)])
def test_a_request_or_a_byte_is_progress(done: int, moved_bytes: float) -> None:
    async def test(loop: VirtualTimeLoop, progress: Progress) -> None:
        progress.look(3, 1e9)
        await tick(loop, 2000, 100.0)
        progress.look(done, moved_bytes)

    watched(test)


@pytest.mark.parametrize(("timers", "for_s"), [(10, 1e6), (100_000, 50.0)])
def test_neither_a_long_wait_nor_a_busy_minute_is_a_livelock(timers: int, for_s: float) -> None:
    async def test(loop: VirtualTimeLoop, progress: Progress) -> None:
        progress.look(3, 1e9)
        await tick(loop, timers, for_s)
        progress.look(3, 1e9)

    watched(test)


def test_a_run_whose_nodes_only_poll_is_a_livelock_that_names_who_waits() -> None:
    """Prefill nodes that lose what they are assigned, and leaders that report all the same."""

    def lose(self: PrefillNode, message: Message) -> None:
        """It is not served."""

    async def poll(self: Leader) -> None:
        clock = self._world.clock
        while True:
            await clock.sleep_until(clock.now() + 0.05)

    with (
        patch.object(PrefillNode, "handle", lose),
        patch.object(Leader, "run", poll),
        pytest.raises(ExceptionGroup) as caught,
    ):
        simulate(make_plan([agent((610, 30))]), DUALPATH, 1.0)
    (livelock,) = caught.value.exceptions
    assert isinstance(livelock, Livelock)
    assert "agents AgentPopulation._replay" in dict(livelock.waiting)


async def spinning() -> None:
    while True:
        turn = running().create_future()
        running().call_soon(turn.set_result, None)
        await turn


async def waiting_for_the_past() -> None:
    while True:
        await running().sleep_until(running().time())


@pytest.mark.parametrize("work", [spinning, waiting_for_the_past])
def test_an_instant_that_never_ends_is_a_livelock_that_names_who_works(
    work: Callable[[], Awaitable[None]],
) -> None:
    async def main() -> None:
        with time_has_to_pass(running(), cpu_s=0.02):
            await work()

    who = rf"it does not pass while Task-\d+ runs at .* in {work.__name__}"
    with pytest.raises(Livelock, match=who):
        run(main())


def test_an_instant_may_take_its_time() -> None:
    """Long enough to be looked at more than once, with time going on in between."""

    async def main() -> None:
        with time_has_to_pass(running(), cpu_s=0.05):
            await tick(running(), 100_000, 1.0)

    run(main())


def test_nothing_is_left_of_the_watch() -> None:
    async def main() -> None:
        with time_has_to_pass(running(), cpu_s=0.01):
            await running().sleep_until(1.0)
        for _ in range(2_000_000):
            pass

    run(main())
