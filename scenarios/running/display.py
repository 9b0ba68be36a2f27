"""Progress of a run: a live display on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from plan.end import End
from scenarios.running.pace import Pace

PLAIN_EVERY_S = 5.0
"""Wall seconds between two plain lines."""
NODES_SHOWN = 16


class Progress:
    """Context manager around all systems of a run.

    Args:
        console: where to write; standard error if not given, so that standard output stays
            the command's own.
        now: wall clock, seconds.
    """

    def __init__(
        self, console: Console | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(stderr=True)
        self._now = now
        self._live: Live | None = None
        self._name = ""
        self._total: int | None = 0
        self._end: End | None = None
        self._done = 0
        self._at_s = 0.0
        self._printed = now()
        self._served = self._passed = Pace(0, self._printed)
        self._left_s: float | None = None
        self._snic_use: Mapping[str, float] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Leave the terminal to others; notes are still shown."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def system(self, name: str, total_requests: int | None, end: End | None = None) -> None:
        """The next system starts.

        Args:
            total_requests: that it has to serve, None: no end of them.
            end: what may end it before.
        """
        self._name, self._total, self._end = name, total_requests, end
        self._done, self._at_s, self._snic_use, self._left_s = 0, 0.0, {}, None
        self._printed = self._now()
        self._served = Pace(total_requests or 0, self._printed)
        self._passed = Pace(_after_s(end), self._printed)
        what = "requests" if total_requests is None else f"{total_requests} requests"
        waits = rule(end) if end is not None else ""
        self.note(f"{name}: {what}{waits and f' until {waits}'}")

    def update(self, done: int, snic_use: Mapping[str, float], at_s: float) -> None:
        """So many requests are done at that model time, seconds; each node's SNIC reads at that
        fraction of its rate."""
        self._done, self._snic_use, self._at_s = done, snic_use, at_s
        self._left_s = self._look(self._now())
        if self._live is not None:
            self._live.update(self._picture())
        elif self._now() - self._printed >= PLAIN_EVERY_S:
            self._printed = self._now()
            shown = list(snic_use.items())[:NODES_SHOWN]
            use = " ".join(f"{node} {share:.0%}" for node, share in shown)
            self._print(f"{self._name}: {self._standing('done')}, SNICs {use}")

    def note(self, text: str) -> None:
        """Say something that stays."""
        self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _look(self, now_s: float) -> float | None:
        """Wall seconds until all is served or the run's time is over, whichever is sooner."""
        served_s = self._served.look(self._done, now_s) if self._total is not None else None
        passed_s = self._passed.look(max(self._at_s, 0.0), now_s) if _after_s(self._end) else None
        return min((left for left in (served_s, passed_s) if left is not None), default=None)

    def _standing(self, what: str) -> str:
        said = [f"{self._done}{'' if self._total is None else f'/{self._total}'} {what}"]
        if self._end is not None:
            after_s = _after_s(self._end)
            said.append(f"at {self._at_s:.0f}{f' of {after_s:g}' if after_s else ''} s")
        if self._total is not None or _after_s(self._end):
            said.append(self._left())
        return ", ".join(said)

    def _left(self) -> str:
        if self._left_s is None:
            return "time left unknown"
        left = round(self._left_s)
        most = "at most " if self._end and _may_end_sooner(self._end) else ""
        return f"{most}about {left // 60}:{left % 60:02d} left"

    def _bar(self) -> ProgressBar:
        if self._total is not None:
            return ProgressBar(total=max(self._total, 1), completed=self._done, width=40)
        after_s = _after_s(self._end)
        return ProgressBar(total=after_s or None, completed=max(self._at_s, 0.0), width=40)

    def _picture(self) -> Group:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            Text(self._name, style="bold"),
            self._bar(),
            Text(self._standing("requests")),
        )
        shown = list(self._snic_use.items())[:NODES_SHOWN]
        for node, share in shown:
            bar = ProgressBar(total=1.0, completed=min(share, 1.0), width=40)
            grid.add_row(Text(f"{node} SNIC"), bar, Text(f"{share:4.0%}"))
        hidden = len(self._snic_use) - len(shown)
        return Group(grid, Text(f"and {hidden} more nodes")) if hidden else Group(grid)


def rule(end: End) -> str:
    """What a run waits for, in words; nothing where all is to be served."""
    waits = []
    if end.steady is not None:
        # the first comparison is with the first window after the warm-up
        earliest_s = end.warmup_s + end.window_s + end.steady.apart_s
        waits.append(
            f"mean TTFT over {end.window_s:g} s is within {end.steady.within:.3g} of that"
            f" {end.steady.apart_s:g} s before (at {earliest_s:g} s at the earliest)"
        )
    if end.ttft_beyond_s is not None:
        waits.append(f"mean TTFT over {end.window_s:g} s is beyond {end.ttft_beyond_s:g} s")
    if end.agents is not None:
        waits.append(f"{end.agents} agents are done")
    if end.after_s is not None:
        waits.append(f"{end.after_s:g} s have passed")
    return " or ".join(waits)


def _after_s(end: End | None) -> float:
    """When a run ends at the latest, model seconds; 0: nobody knows."""
    return (end.after_s if end is not None else None) or 0.0


def _may_end_sooner(end: End) -> bool:
    return bool(end.steady or end.ttft_beyond_s is not None or end.agents is not None)
