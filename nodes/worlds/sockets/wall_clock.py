"""Model time on the wall: absolute deadlines on a timerfd, every wake-up's lateness logged.

asyncio's own timers are rounded up to epoll's millisecond; a layer of prefill can be
shorter than that, so deadlines go through one timerfd with the kernel's resolution.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from heapq import heappop, heappush

from plan.durations import Durations
from plan.records import LATE_S, MOST_LATE
from plan.scale import Scale

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1

LOOK_S = 0.05
"""Wall seconds between two looks at whether the program runs."""
STOOD_S = 4 * LOOK_S
"""If there was none for so long, it has stood still."""


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


_libc = ctypes.CDLL(None, use_errno=True)


class WallClock:
    """Dilated CLOCK_MONOTONIC; zero is the run's common start.

    Args:
        scale: its dilation converts model to wall seconds.
        loop: the running loop.

    Attributes:
        stood_s: how long the program has stood still in all, model seconds, where that is looked
            for (`look_for_stops`).
        late: there, alarms and how late they were, model seconds.
    """

    def __init__(self, scale: Scale, loop: asyncio.AbstractEventLoop) -> None:
        self._scale = scale
        self._loop = loop
        self._start = time.monotonic()
        self.stood_s = 0.0
        self.late: list[tuple[float, float]] = []
        self._seen = float("inf")
        self._looking: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0
        self._late = Durations()
        self._fd = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._armed = float("inf")
        self._alarm = _Itimerspec()
        self._set = ctypes.byref(self._alarm)
        loop.add_reader(self._fd, self._expired)

    def begin(self, start: float) -> None:
        """Set zero: a CLOCK_MONOTONIC reading, seconds, the same in all processes."""
        self._start = start

    def now(self) -> float:
        return self._scale.model_s(time.monotonic() - self._start)

    def sleep_until(self, deadline_s: float) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        wall = self._start + self._scale.wall_s(deadline_s)
        self._order += 1
        heappush(self._waiting, (wall, self._order, future))
        if wall < self._armed:
            self._arm(wall)
        return future

    @property
    def rung(self) -> int:
        """How many have been woken so far."""
        return self._late.count

    @property
    def alarms(self) -> int:
        """How many wait to be woken."""
        return sum(not future.done() for _, _, future in self._waiting)

    def lateness_s(self) -> tuple[float, float, float] | None:
        """Lateness of the wake-ups so far, model seconds: median, 99th percentile, maximum."""
        late = self._late
        if not late.count:
            return None
        return (
            self._scale.model_s(late.quantile_s(0.5)),
            self._scale.model_s(late.quantile_s(0.99)),
            self._scale.model_s(late.longest_s),
        )

    def look_for_stops(self) -> None:
        """From now on notice when the program has stood still. It is not told, as little as a
        process is of SIGSTOP: it looks now and then, and sees that it has not for too long."""
        self._look()
        self._looking = self._loop.call_later(LOOK_S, self.look_for_stops)

    def close(self) -> None:
        """Wake nobody any more."""
        if self._looking is not None:
            self._looking.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _arm(self, wall: float) -> None:
        self._armed = wall
        # a deadline in the past must still fire: an all-zero value would disarm the timer
        wall = max(wall, 1e-9)
        value = self._alarm.value
        value.sec = whole = int(wall)
        value.nsec = max(1, int((wall - whole) * 1e9))
        if _libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, self._set, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # re-armed between epoll and here
            return
        if self._looking is not None:
            self._look()
        now = time.monotonic()
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            deadline, _, future = heappop(waiting)
            if not future.done():
                self._woken(deadline, now - deadline)
                future.set_result(None)
        self._armed = float("inf")
        if waiting:
            self._arm(waiting[0][0])

    def _woken(self, deadline: float, late: float) -> None:
        self._late.add(late)
        late_s = self._scale.model_s(late)
        if self._looking is not None and late_s > LATE_S and len(self.late) < MOST_LATE:
            self.late.append((self._scale.model_s(deadline - self._start), late_s))

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._seen > STOOD_S:
            # it stopped between the last look and the one that did not come
            self.stood_s += self._scale.model_s(now - self._seen - LOOK_S / 2)
        self._seen = now
