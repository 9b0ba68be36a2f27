"""An asyncio event loop in virtual time: it never waits, it jumps to the next timer.

All callbacks that are ready at an instant run before time moves on; timers that are due at
the same instant run in the order in which they were set. So a run is deterministic, and
`call_at(loop.time(), f)` means "once nothing else is ready at this instant".
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable, Coroutine
from heapq import heapify, heappop, heappush
from itertools import count
from types import FrameType
from typing import Any, TypeVar, TypeVarTuple

from plan.errors import Deadlock

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_ASYNCIO = os.path.dirname(asyncio.__file__)
_COMPACT_ABOVE = 64
_CLOSED = "the loop is closed: make another one"


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine from model time 0 to its end and return its result.

    Raises:
        Deadlock: it waits for something that nothing will ever do.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """See the module. `time()` is model seconds since the loop was made.

    It has no sockets, subprocesses or threads: awaiting those ends in `Deadlock`.
    """

    _ready: Any
    _stopping: bool
    _closed: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        # (when, order, what): `what` is a future to resolve or a handle to run
        self._timers: list[tuple[float, int, Any]] = []
        self._order = count().__next__
        self._cancelled_timers = 0

    def time(self) -> float:
        return self._now

    def events(self) -> int:
        """How many timers were set so far: what a run's cost is counted in."""
        return self._order()

    def busy(self) -> bool:
        """Whether anything is ready or any timer set."""
        return bool(self._ready or self._timers)

    def sleep_until(self, deadline_s: float) -> asyncio.Future[None]:
        """A future that is done at an absolute model time, at once if it has passed."""
        future: asyncio.Future[None] = self.create_future()
        if deadline_s <= self._now:
            future.set_result(None)
        else:
            heappush(self._timers, (deadline_s, self._order(), future))
        return future

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError(_CLOSED)
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if self._closed:
            raise RuntimeError(_CLOSED)
        timer = _Timer(when, callback, args, self, context)
        heappush(self._timers, (when, self._order(), timer))
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def close(self) -> None:
        super().close()
        self._timers.clear()

    def _run_once(self) -> None:
        """Run until stopped; the base class would come back here for every event."""
        ready, timers = self._ready, self._timers
        while not self._stopping:
            if ready:
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
                continue
            if not timers:
                raise Deadlock(self._now, _waiting_tasks(self))
            when, _, due = heappop(timers)
            if when > self._now:
                self._now = when
            if due.__class__ is not _Timer:
                if not due.done():
                    due.set_result(None)
            elif due._cancelled:
                self._cancelled_timers -= 1
            else:
                due._scheduled = False
                due._run()

    def _timer_handle_cancelled(self, timer: asyncio.TimerHandle) -> None:
        if not timer._scheduled:  # type: ignore[attr-defined]
            return
        self._cancelled_timers += 1
        timers = self._timers
        if self._cancelled_timers > max(_COMPACT_ABOVE, len(timers) // 2):
            gone = timer  # is cancelled right after this call
            timers[:] = [
                entry for entry in timers if entry[2] is not gone and not entry[2].cancelled()
            ]
            heapify(timers)
            self._cancelled_timers = 0

    def _write_to_self(self) -> None:
        """Nothing to wake: the loop never blocks."""


class _Timer(asyncio.TimerHandle):
    """A timer handle that is never compared: its heap entry orders it."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: VirtualTimeLoop,
        context: contextvars.Context | None,
    ) -> None:
        asyncio.Handle.__init__(self, callback, args, loop, context)
        self._when = when
        self._scheduled = True


def _waiting_tasks(loop: asyncio.AbstractEventLoop) -> list[tuple[str, str]]:
    return sorted((task.get_name(), _place(task)) for task in asyncio.all_tasks(loop))


def _place(task: asyncio.Task[Any]) -> str:
    """The innermost await of a task that is not inside asyncio itself."""
    found: FrameType | None = None
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None and (
            found is None or not frame.f_code.co_filename.startswith(_ASYNCIO)
        ):
            found = frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    if found is None:
        return "an unknown place"
    return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_qualname}"
