"""How fast requests are done, or model time goes by, and so how long the rest will take.

The second half of the time so far counts. So a start, in which all wait and nothing is done yet,
is forgotten as time goes by, and a tail, in which few are left to be served at once, is noticed.
"""

from __future__ import annotations

from collections import deque

_FINENESS = 0.01
"""A look is kept if it comes so much of the time so far after the last one."""


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
