"""When a run has seen enough: after a time or so many agents, or by TTFT (paper section 7).

Pure: it is told what happens to requests and asked, now and then, whether the run is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from plan.end import End, Steady
from plan.records import EndedBy


class EndRule:
    """The rule of one run. Times: model seconds since its start.

    TTFT is a mean over a window: of the requests whose first token came within it, and of
    those that wait for theirs for longer than the bound already, with what they have waited so
    far. So a system that serves nobody any more is beyond the bound, too.
    """

    def __init__(self, end: End) -> None:
        self._end = end
        self._by_ttft = end.ttft_beyond_s is not None or end.steady is not None
        self._bound_s = float("inf") if end.ttft_beyond_s is None else end.ttft_beyond_s
        self._submitted: dict[int, float] = {}  # of the requests that wait for a first token
        self._firsts: deque[tuple[float, float]] = deque()  # (when, TTFT) within the window
        self._sum_s = 0.0
        self._means: deque[tuple[float, float]] = deque()
        self._agents = 0

    def submitted(self, request: int, now_s: float) -> None:
        if self._by_ttft:
            self._submitted[request] = now_s

    def first_token(self, request: int, first_s: float) -> None:
        """It may be told again, by the request's end."""
        submitted_s = self._submitted.pop(request, None)
        if submitted_s is not None:
            self._firsts.append((first_s, first_s - submitted_s))
            self._sum_s += first_s - submitted_s

    def agent_done(self) -> None:
        self._agents += 1

    def look(self, now_s: float) -> EndedBy | None:
        """What ends the run at this moment, if anything does. Looks come in order."""
        end = self._end
        if end.after_s is not None and now_s >= end.after_s:
            return "after"
        if end.agents is not None and self._agents >= end.agents and now_s >= end.warmup_s:
            return "agents"
        mean_s = self._mean_s(now_s)
        if mean_s is not None and now_s >= end.warmup_s + end.window_s:
            if mean_s > self._bound_s:
                return "ttft_beyond"
            if end.steady and self._at_rest(end.steady, now_s, mean_s):
                return "steady"
        return None

    def measured_from_s(self, ended_by: EndedBy, now_s: float) -> float:
        """Since when a run that ends now is measured."""
        end = self._end
        from_s = min(end.warmup_s, now_s)
        if ended_by != "all served" and (end.steady or ended_by == "ttft_beyond"):
            return max(from_s, now_s - end.window_s)
        return from_s

    def _mean_s(self, now_s: float) -> float | None:
        since_s = now_s - self._end.window_s
        while self._firsts and self._firsts[0][0] <= since_s:
            self._sum_s -= self._firsts.popleft()[1]
        late = list(self._late_s(now_s))
        count = len(self._firsts) + len(late)
        return (self._sum_s + sum(late)) / count if count else None

    def _late_s(self, now_s: float) -> Iterator[float]:
        for at_s in self._submitted.values():
            if now_s - at_s <= self._bound_s:
                return
            yield now_s - at_s

    def _at_rest(self, steady: Steady, now_s: float, mean_s: float) -> bool:
        """Compares with the mean at the latest look that is so far back."""
        self._means.append((now_s, mean_s))
        before_s = None
        while self._means[0][0] <= now_s - steady.apart_s:
            before_s = self._means.popleft()[1]
        return before_s is not None and abs(mean_s - before_s) <= steady.within * before_s
