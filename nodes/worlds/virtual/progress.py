"""What ends a run in virtual time that is busy but comes no further.

A deadlock ends it by itself: nothing is left to do. Here is what a livelock ends with: model
time that passes while no request is done and no byte moves, and work at one instant that never
lets model time pass.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nodes.worlds.virtual import agenda, loop
from nodes.worlds.virtual.loop import VirtualTimeLoop
from nodes.worlds.waiting import place_of, waiting_tasks
from plan.errors import Livelock

IDLE_S = 3600.0
IDLE_TIMERS = 1_000_000
"""A run is a livelock if no request is done and no byte moves for so many model seconds and so
many timers: long computations set few, and who waits for the next agent to arrive hardly any."""
INSTANT_CPU_S = 20.0
"""Processor seconds between two looks at model time: the work of one instant may take as long,
and never takes twice that."""

_AGAIN_S = 0.0001
_MACHINERY = (os.path.dirname(asyncio.__file__), loop.__file__, agenda.__file__)


class Progress:
    """Whether requests come further, looked at with every counter sample.

    Args:
        idle_s, idle_timers: bounds; None: `IDLE_S`, `IDLE_TIMERS`.
    """

    def __init__(
        self, run: VirtualTimeLoop, idle_s: float | None = None, idle_timers: int | None = None
    ) -> None:
        self._run = run
        self._idle_s = IDLE_S if idle_s is None else idle_s
        self._idle_timers = IDLE_TIMERS if idle_timers is None else idle_timers
        self._seen = (-1, -1.0)
        self._at_s = 0.0
        self._timers = 0

    def look(self, done: int, moved_bytes: float) -> None:
        """Take down how far the run is.

        Args:
            done: requests so far; moved_bytes: over all NICs so far.

        Raises:
            Livelock: no further than long ago.
        """
        now_s, timers = self._run.time(), self._run.events()
        if (done, moved_bytes) != self._seen:
            self._seen, self._at_s, self._timers = (done, moved_bytes), now_s, timers
        elif now_s - self._at_s >= self._idle_s and timers - self._timers >= self._idle_timers:
            why = (
                f"since {self._at_s:.9g} s {timers - self._timers} timers were set, but no request"
                " was done and no byte moved"
            )
            raise Livelock(now_s, why, waiting_tasks(self._run))


@contextmanager
def time_has_to_pass(run: VirtualTimeLoop, cpu_s: float = INSTANT_CPU_S) -> Iterator[None]:
    """Raise `Livelock` in the node code that runs when an instant of model time takes too long.

    Only the main thread can be interrupted; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen_s = -1.0

    def look(_: int, frame: FrameType | None) -> None:
        nonlocal seen_s
        now_s = run.time()
        if now_s != seen_s:
            seen_s = now_s
        elif frame is not None and frame.f_code is loop.breathe.__code__:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            why = f"it does not pass while {_next(run)} runs"
            raise Livelock(now_s, why, waiting_tasks(run))
        elif frame is None or frame.f_code.co_filename.startswith(_MACHINERY):
            # an event loop that is interrupted loses what it is about to do: at once again
            signal.setitimer(signal.ITIMER_VIRTUAL, _AGAIN_S, cpu_s)
        else:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            why = f"it does not pass while {_who(run)} runs at {place_of(frame)}"
            raise Livelock(now_s, why, waiting_tasks(run))

    handler = signal.signal(signal.SIGVTALRM, look)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)


def _next(run: VirtualTimeLoop) -> str:
    """Who runs next, where nobody does."""
    callback = run.agenda.ready[0][0] if run.agenda.ready else None
    task = getattr(callback, "__self__", None)
    return task.get_name() if isinstance(task, asyncio.Task) else "a callback"


def _who(run: VirtualTimeLoop) -> str:
    task = asyncio.current_task(run)
    return task.get_name() if task else "a callback"
