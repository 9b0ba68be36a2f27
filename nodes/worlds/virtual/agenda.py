"""What is to be done, and when, in model time: the inner loop of a run in virtual time.

All that is ready at an instant is done before time moves on; what is due at the same instant is
done in the order in which it was set down.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

Entry = tuple[float, int, Any, Any]
"""When, its order, and a callback with its arguments; or a future to resolve or a handle to run,
where there are none."""


class Agenda:
    """Callbacks that are ready, and those that are due later.

    Attributes:
        now_s: model seconds since the agenda was made.
        set_down: how many timers were set so far: what a run's cost is counted in.
        stopped: `work` ends before the next callback.
    """

    __slots__ = ("now_s", "ready", "set_down", "stopped", "timers")

    def __init__(self) -> None:
        self.now_s = 0.0
        self.set_down = 0
        self.stopped = False
        self.ready: deque[tuple[Any, Any]] = deque()
        self.timers: list[Entry] = []

    def time(self) -> float:
        """Model seconds since the agenda was made."""
        return self.now_s

    def at(self, when_s: float, what: Any, arguments: tuple[Any, ...] | None = None) -> None:
        """Set down a callback with its arguments, or a future or handle without any."""
        self.set_down += 1
        heappush(self.timers, (when_s, self.set_down, what, arguments))

    def after(
        self, delay_s: float, what: Callable[..., object], arguments: tuple[Any, ...]
    ) -> None:
        """The same, a time from now."""
        self.at(self.now_s + delay_s, what, arguments)

    def sleep_until(self, deadline_s: float) -> Future[None]:
        """A future that is done at an absolute model time, at once if it has passed."""
        future: Future[None] = Future()
        if deadline_s <= self.now_s:
            future.set_result(None)
        else:
            self.at(deadline_s, future)
        return future

    def work(self, callbacks: int) -> bool:
        """Do so much of what is due, in order, unless stopped; False if nothing is left to do."""
        ready, timers = self.ready, self.timers
        for _ in range(callbacks):
            if self.stopped:
                break
            if ready:
                callback, arguments = ready.popleft()
                callback(*arguments)
                continue
            if not timers:
                return False
            when_s, _, what, arguments = heappop(timers)
            self.now_s = max(self.now_s, when_s)
            if arguments is not None:
                what(*arguments)
            elif not what.done():
                what.set_result(None)
        return True

    def forget_cancelled(self) -> None:
        """Drop futures and handles that were cancelled before their time."""
        self.timers[:] = [
            entry for entry in self.timers if entry[3] is not None or not entry[2].cancelled()
        ]
        heapify(self.timers)
