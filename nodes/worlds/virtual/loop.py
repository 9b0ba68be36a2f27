"""An asyncio event loop in virtual time: it never waits, it jumps to the next timer.

All callbacks that are ready at an instant run before time moves on; timers that are due at
the same instant run in the order in which they were set. So a run is deterministic, and
`call_at(loop.time(), f)` means "once nothing else is ready at this instant".
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

from nodes.worlds.virtual.agenda import Agenda
from nodes.worlds.waiting import waiting_tasks
from plan.errors import Deadlock, Standstill

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_COMPACT_ABOVE = 64
_AT_ONCE = 1000
"""Callbacks between two chances for signals to be handled, which compiled code gives none."""
_CLOSED = "the loop is closed: make another one"


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine from model time 0 to its end and return its result.

    Raises:
        Deadlock: it waits for something that nothing will ever do.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def running() -> VirtualTimeLoop:
    """The loop that runs the caller, in virtual time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """See the module. `time()` is model seconds since the loop was made.

    It has no sockets, subprocesses or threads: awaiting those ends in `Deadlock`.
    """

    _stopping: bool
    _closed: bool

    def __init__(self) -> None:
        super().__init__()
        self.agenda = Agenda(self._call_soon)
        self._cancelled_timers = 0
        # found before the class's own by futures and tasks, which call them all the time
        self.__dict__["call_soon"] = self.agenda.soon
        if not self.get_debug():
            self.__dict__["get_debug"] = bool

    def time(self) -> float:
        return self.agenda.now_s

    def events(self) -> int:
        """How many timers were set so far: what a run's cost is counted in."""
        return self.agenda.set_down

    def busy(self) -> bool:
        """Whether anything is ready or any timer set."""
        return not self.agenda.empty

    def sleep_until(self, deadline_s: float) -> asyncio.Future[None]:
        """A future that is done at an absolute model time, at once if it has passed."""
        return self.agenda.sleep_until(deadline_s)

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        return self._call_soon(callback, args, context)

    def _call_soon(
        self,
        callback: Callable[[*_Ts], object],
        args: tuple[*_Ts],
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError(_CLOSED)
        handle = asyncio.Handle(callback, args, self, context)
        self.agenda.ready.append((_run, (handle,)))
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

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
        self.agenda.at(when, timer)
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.agenda.now_s + delay, callback, *args, context=context)

    def stop(self) -> None:
        super().stop()
        self.agenda.stopped = True

    def close(self) -> None:
        super().close()
        self.agenda.clear()
        self.__dict__.pop("call_soon", None)

    def _run_once(self) -> None:
        """Run until stopped; the base class would come back here for every event."""
        agenda = self.agenda
        agenda.stopped = self._stopping
        while not agenda.stopped:
            try:
                if not agenda.work(_AT_ONCE):
                    raise Deadlock(agenda.now_s, waiting_tasks(self))
                breathe()
            except (SystemExit, KeyboardInterrupt, Standstill):
                raise
            except BaseException as error:
                message = "an error outside of every task"
                self.call_exception_handler({"message": message, "exception": error})

    def _timer_handle_cancelled(self, timer: asyncio.TimerHandle) -> None:
        if not timer._scheduled:  # type: ignore[attr-defined]
            return
        self._cancelled_timers += 1
        if self._cancelled_timers > max(_COMPACT_ABOVE, len(self.agenda.timers) // 2):
            self.agenda.forget_cancelled()
            self._cancelled_timers = 0

    def _write_to_self(self) -> None:
        """Nothing to wake: the loop never blocks."""


class _Timer(asyncio.TimerHandle):
    """A timer handle that is never compared, and is worked off as a future would be."""

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

    def done(self) -> bool:
        """Whether there is nothing to run any more."""
        return self.cancelled()

    def set_result(self, _: None) -> None:
        """Run: its time has come."""
        self._scheduled = False
        _run(self)


def breathe() -> None:
    """Where the loop has nothing in hand, so that a signal's handler may raise."""


def _run(handle: asyncio.Handle) -> None:
    if not handle.cancelled():
        handle._run()
