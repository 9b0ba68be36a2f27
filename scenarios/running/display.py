"""Progress of a run: a live display on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

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
        self._done = 0
        self._printed = now()
        self._pace = Pace(0, self._printed)
        self._left_s: float | None = None
        self._snic_use: Mapping[str, float] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Leave the terminal to others; notes are still shown."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def system(self, name: str, total_requests: int | None) -> None:
        """The next system starts; it has to serve that many requests, None: no end of them."""
        self._name, self._total, self._done, self._snic_use = name, total_requests, 0, {}
        self._printed = self._now()
        self._pace, self._left_s = Pace(total_requests or 0, self._printed), None
        if total_requests is not None:
            self.note(f"{name}: {total_requests} requests")
        else:
            self.note(f"{name}: requests until the run's end")

    def update(self, done: int, snic_use: Mapping[str, float]) -> None:
        """So many requests are done; each node's SNIC reads at that fraction of its rate."""
        self._done, self._snic_use = done, snic_use
        self._left_s = self._pace.look(done, self._now())
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

    def _standing(self, what: str) -> str:
        if self._total is None:
            return f"{self._done} {what}"
        return f"{self._done}/{self._total} {what}, {self._left()}"

    def _left(self) -> str:
        if self._left_s is None:
            return "time left unknown"
        left = round(self._left_s)
        return f"about {left // 60}:{left % 60:02d} left"

    def _picture(self) -> Group:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            Text(self._name, style="bold"),
            ProgressBar(total=self._total and max(self._total, 1), completed=self._done, width=40),
            Text(self._standing("requests")),
        )
        shown = list(self._snic_use.items())[:NODES_SHOWN]
        for node, share in shown:
            bar = ProgressBar(total=1.0, completed=min(share, 1.0), width=40)
            grid.add_row(Text(f"{node} SNIC"), bar, Text(f"{share:4.0%}"))
        hidden = len(self._snic_use) - len(shown)
        return Group(grid, Text(f"and {hidden} more nodes")) if hidden else Group(grid)
