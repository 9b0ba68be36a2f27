"""The controller as a run sees it: a process that is watched to the run's end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from plan.events import ControllerEvent, Installed, Port, Rerouted, Switch
from scenarios.running.cpu import process_s
from scenarios.running.events import CONTROLLER_EVENTS, EventStream
from scenarios.running.journal import Journal
from topology.interpreter import python
from topology.priority import Rank, prefer

READY_S = 60.0
"""Wall seconds within which it has to have set up the fabric."""
CONTROLLER_PORT = 6653
"""On the loopback of the sandbox, so runs side by side do not meet."""


class Controller:
    """A running controller; its program may end and begin anew.

    Args:
        start: starts a life of it, counted from 1.
        log: of its standard error.

    Attributes:
        events: what it says; whoever reads them passes them to `heed`.
        incidents: what befell the fabric since the controller was ready, a clause each.
        expected: ports (switch, number) that are taken down on purpose.
        forsaken: it is paused on purpose, so that switches may lose it.
        rerouted: how often it has led routes anew.
        spent_s: CPU seconds of the lives that were ended.
    """

    def __init__(
        self, start: Callable[[int], subprocess.Popen[bytes]], journal: Journal, log: Path
    ) -> None:
        self._start = start
        self._journal = journal
        self._log = log
        self._life = 0
        self.incidents: list[str] = []
        self.expected: set[tuple[str, int]] = set()
        self.forsaken = False
        self.rerouted = 0
        self.spent_s = 0.0
        self.begin()

    def begin(self) -> int:
        """Start its program; returns which life of it this is."""
        self._life += 1
        process = self._process = self._start(self._life)
        self.events = EventStream(process, "controller", CONTROLLER_EVENTS, self._log)
        return self._life

    def end(self) -> None:
        """Its program is killed; switches go by the flows that they have."""
        if self.alive:
            self.spent_s += process_s(self.pid)
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def alive(self) -> bool:
        """Whether its program has not been killed, nor waited for."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """Of its process, the last one."""
        return self._process.pid

    def heed(self, events: list[ControllerEvent]) -> None:
        """Keep what a run has to know of events."""
        for event in events:
            match event:
                case Switch(connected=False) if self.forsaken:
                    pass
                case Installed():  # in a later life
                    self.rerouted += 1
                    prefer(self.pid, Rank.NODE)
                case Switch(connected=False):
                    self._befell(f"switch {event.switch} lost its controller")
                case Port(state="down") if (event.switch, event.port) in self.expected:
                    pass
                case Rerouted():
                    self.rerouted += 1
                case Port(state="down"):
                    port = f"port {event.port} of switch {event.switch}"
                    self._befell(f"{port} ({event.link}) went down")

    def _befell(self, what: str) -> None:
        self.incidents.append(what)
        self._journal.befell(what)

    def check(self) -> None:
        """Heed what it has said by now.

        Raises:
            RunError: it reported an error, or ended.
        """
        self.heed(self.events.take_now())

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Around what needs the controller: if that fails and the controller has ended, this
        is what is told."""
        try:
            yield
        except Exception as error:
            failure = self.events.failure()
            if failure is None or failure is error:
                raise
            raise failure from error


@contextmanager
def started(
    directory: Path, telemetry: Path, sample_s: float, journal: Journal
) -> Iterator[Controller]:
    """A controller for `directory/plan.json` that makes itself ready meanwhile.

    Args:
        directory: also for its log.
        sample_s: wall seconds between two counter samples, written to `telemetry`.
        journal: told of incidents.
    """
    path = directory / "controller.log"
    with path.open("wb") as log:

        def start(life: int) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [
                    *python("-m", "controller.launcher"),
                    *("--plan", str(directory / "plan.json")),
                    *("--listen", f"127.0.0.1:{CONTROLLER_PORT}"),
                    *("--telemetry", str(telemetry)),
                    *("--interval", str(sample_s)),
                    *("--life", str(life)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

        running = Controller(start, journal, path)
        try:
            yield running
        finally:
            running.end()


@contextmanager
def ready(running: Controller) -> Iterator[None]:
    """Wait until a controller has set up the fabric, and end it before the fabric goes.

    Raises:
        RunError: it reported an error, or ended; whatever else went wrong then follows from it.
    """
    prefer(running.pid, Rank.NODE)
    try:
        running.events.await_event(Installed, READY_S)
        with running.blamed():
            yield
    finally:
        running.end()
