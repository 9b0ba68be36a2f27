"""What is to be done, and when, in model time: the inner loop of a run in virtual time.

All that is ready at an instant is done before time moves on; what is due at the same instant is
done in the order in which it was set down. What is set down for the present, or always as long
ahead, or is one thing that moves, comes in order by itself; a heap keeps all else.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, Final

Entry = tuple[float, int, Any, Any]
"""When, its order, and a callback with its arguments; or a future to resolve or a handle to run,
where there are none."""

NEVER: Final = float("inf")


class Source:
    """What is set down somewhere else than in the heap.

    Attributes:
        when_s: when its next is due, model seconds; order: that one's.
    """

    __slots__ = ("order", "when_s")

    def __init__(self) -> None:
        self.when_s = NEVER
        self.order = 0

    def do(self) -> None:
        """Do the next, whose time has come."""
        raise NotImplementedError


class Delay(Source):
    """Callbacks that are due a constant time after they are set down, and so in that order."""

    __slots__ = ("_agenda", "_delay_s", "_entries")

    def __init__(self, agenda: Agenda, delay_s: float) -> None:
        super().__init__()
        self._agenda = agenda
        self._delay_s = delay_s
        self._entries: deque[Entry] = deque()

    def after(self, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        """Set down a callback with its arguments."""
        agenda = self._agenda
        when_s = agenda.now_s + self._delay_s
        if when_s <= agenda.now_s:
            agenda.at(when_s, callback, arguments)
            return
        agenda.set_down += 1
        if not self._entries:
            self.when_s, self.order = when_s, agenda.set_down
        self._entries.append((when_s, agenda.set_down, callback, arguments))

    def do(self) -> None:
        _, _, callback, arguments = self._entries.popleft()
        if self._entries:
            following = self._entries[0]
            self.when_s, self.order = following[0], following[1]
        else:
            self.when_s = NEVER
        callback(*arguments)


class Alarm(Source):
    """A callback that is due once, at a time that may still be changed."""

    __slots__ = ("_agenda", "_callback")

    def __init__(self, agenda: Agenda, callback: Callable[[], object]) -> None:
        super().__init__()
        self._agenda = agenda
        self._callback = callback

    def set(self, when_s: float) -> None:
        """It is due then, and no longer at the time before."""
        agenda = self._agenda
        agenda.set_down += 1
        self.when_s, self.order = when_s, agenda.set_down

    def do(self) -> None:
        self.when_s = NEVER
        self._callback()


class Agenda:
    """Callbacks that are ready, and those that are due later.

    Args:
        call_soon: how the loop makes ready what can be cancelled; returns its handle.

    Attributes:
        now_s: model seconds since the agenda was made.
        set_down: how many timers were set so far: what a run's cost is counted in.
        stopped: `work` ends before the next callback.
    """

    __slots__ = (
        "_call_soon",
        "_present",
        "_sources",
        "now_s",
        "ready",
        "set_down",
        "stopped",
        "timers",
    )

    def __init__(self, call_soon: Callable[[Any, Any], object]) -> None:
        self._call_soon = call_soon
        self.now_s = 0.0
        self.set_down = 0
        self.stopped = False
        self.ready: deque[tuple[Any, Any]] = deque()
        self.timers: list[Entry] = []
        self._present: deque[tuple[Any, Any]] = deque()
        self._sources: list[Source] = []

    def delay(self, delay_s: float) -> Delay:
        """For callbacks that are all due so long after they are set down, model seconds."""
        made = Delay(self, delay_s)
        self._sources.append(made)
        return made

    def alarm(self, callback: Callable[[], object]) -> Alarm:
        """For a callback whose time moves."""
        made = Alarm(self, callback)
        self._sources.append(made)
        return made

    @property
    def empty(self) -> bool:
        """Whether nothing is ready or set down."""
        later = any(source.when_s != NEVER for source in self._sources)
        return not (self.ready or self._present or self.timers or later)

    def soon(self, callback: Any, *arguments: Any, context: Any = None) -> Any:
        """The loop's `call_soon`. A callback with a context cannot be cancelled, and has no
        handle.

        Futures and tasks, which alone give one, never do; a handle for each of their callbacks
        would be a good part of a run's cost. The context itself is not entered: all of a run is
        one.
        """
        if context is None:
            return self._call_soon(callback, arguments)
        self.ready.append((callback, arguments))
        return None

    def at(self, when_s: float, what: Any, arguments: tuple[Any, ...] | None = None) -> None:
        """Set down a callback with its arguments, or a future or handle without any."""
        self.set_down += 1
        if when_s > self.now_s:
            heappush(self.timers, (when_s, self.set_down, what, arguments))
        else:
            self._present.append((what, arguments))

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
        ready = self.ready
        for _ in range(callbacks):
            if self.stopped:
                break
            if ready:
                callback, arguments = ready.popleft()
                callback(*arguments)
            elif not self._next():
                return False
        return True

    def _next(self) -> bool:
        """Go on to what is due next, and do it; False if nothing is."""
        when_s, order, first = NEVER, 0, None
        if self.timers:
            top = self.timers[0]
            when_s, order = top[0], top[1]
        for source in self._sources:
            at_s = source.when_s
            if at_s < when_s or (at_s == when_s and at_s != NEVER and source.order < order):
                when_s, order, first = at_s, source.order, source
        # what was set down for the present came after all that was set down before for then
        if self._present and when_s > self.now_s:
            _do(*self._present.popleft())
            return True
        if when_s == NEVER and not self.timers:
            return False
        self.now_s = max(self.now_s, when_s)
        if first is not None:
            first.do()
        else:
            _, _, what, arguments = heappop(self.timers)
            _do(what, arguments)
        return True

    def clear(self) -> None:
        """Nothing more is to be done."""
        self.timers.clear()
        self._present.clear()
        self._sources.clear()

    def forget_cancelled(self) -> None:
        """Drop futures and handles that were cancelled before their time."""
        self.timers[:] = [
            entry for entry in self.timers if entry[3] is not None or not entry[2].cancelled()
        ]
        heapify(self.timers)


def _do(what: Any, arguments: tuple[Any, ...] | None) -> None:
    if arguments is not None:
        what(*arguments)
    elif not what.done():
        what.set_result(None)
