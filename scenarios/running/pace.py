"""How fast requests are done, or model time goes by, and so how long the rest will take.

The second half of the time so far counts. So a start, in which all wait and nothing is done yet,
is forgotten as time goes by, and a tail, in which few are left to be served at once, is noticed.
Time in which the program was stopped does not count.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_FINENESS = 0.01
"""A look is kept if it comes so much of the time so far after the last one."""

STOPPED_S = 2.0
STOPPED_SHARE = 0.05
"""A program that computes all the time was stopped if in a time as long it computed for no more
than that share of it: beside many others it would have had more."""


class AwakeClock:
    """Wall seconds, but for those in which a program that computes all the time was stopped; it
    is told of that as little as any process is of SIGSTOP, so it looks at what it computed.

    Args:
        wall, computed: seconds, of all and of this process.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.monotonic,
        computed: Callable[[], float] = time.process_time,
    ) -> None:
        self._wall, self._computed = wall, computed
        self._seen = wall(), computed()
        self._stopped_s = 0.0

    def __call__(self) -> float:
        before, self._seen = self._seen, (self._wall(), self._computed())
        passed_s, computed_s = (now - then for now, then in zip(self._seen, before, strict=True))
        if passed_s > STOPPED_S and computed_s < STOPPED_SHARE * passed_s:
            self._stopped_s += passed_s - computed_s
        return self._seen[0] - self._stopped_s


class Pace:
    """Of one system.

    Args:
        total: requests to be done, or model seconds to go by; now_s: wall seconds, as at every
            look.
    """

    def __init__(self, total: float, now_s: float) -> None:
        self._total = total
        self._begun_s = now_s
        self._looks = deque([(now_s, 0.0)])

    def look(self, done: float, now_s: float) -> float | None:
        """So many are done now; returns how long the rest takes, seconds (None: who knows)."""
        passed_s = now_s - self._begun_s
        looks = self._looks
        if now_s - looks[-1][0] >= _FINENESS * passed_s:
            looks.append((now_s, done))
        while len(looks) > 1 and looks[1][0] <= now_s - passed_s / 2:
            looks.popleft()
        since_s, before = looks[0]
        if done <= before or now_s <= since_s:
            return None
        return (self._total - done) * (now_s - since_s) / (done - before)
