"""The controller as a run sees it: a process that is watched to the run's end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plan.events import ControllerEvent, Installed, Port, Rerouted, Switch
from scenarios.running.events import CONTROLLER_EVENTS, EventStream
from scenarios.running.journal import Journal
from topology.interpreter import python
from topology.priority import Rank, prefer

READY_S = 60.0
"""Wall seconds within which it has to have set up the fabric."""
CONTROLLER_PORT = 6653
"""On the loopback of the sandbox, so runs side by side do not meet."""


class Controller:
    """A running controller.

    Attributes:
        pid: of its process.
        events: what it says; whoever reads them passes them to `heed`.
        incidents: what befell the fabric since the controller was ready, a clause each.
        expected: ports (switch, number) that are taken down on purpose.
        rerouted: how often it has led routes anew.
    """

    def __init__(self, process: subprocess.Popen[bytes], journal: Journal, log: Path) -> None:
        self._journal = journal
        self.pid = process.pid
        self.events = EventStream(process, "controller", CONTROLLER_EVENTS, log)
        self.incidents: list[str] = []
        self.expected: set[tuple[str, int]] = set()
        self.rerouted = 0

    def heed(self, events: list[ControllerEvent]) -> None:
        """Keep what a run has to know of events."""
        for event in events:
            match event:
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
def started(directory: Path, telemetry: Path, sample_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """The controller's process for `directory/plan.json`; to be started before the switches, so
    that it makes itself ready while they are built, and listens when they look for it.

    Args:
        directory: also for its log.
        sample_s: wall seconds between two counter samples, written to `telemetry`.
    """
    with _log(directory).open("wb") as log:
        process = subprocess.Popen(
            [
                *python("-m", "controller.launcher"),
                *("--plan", str(directory / "plan.json")),
                *("--listen", f"127.0.0.1:{CONTROLLER_PORT}"),
                *("--telemetry", str(telemetry)),
                *("--interval", str(sample_s)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)
            assert process.stdout is not None
            process.stdout.close()


@contextmanager
def controller(
    process: subprocess.Popen[bytes], directory: Path, journal: Journal
) -> Iterator[Controller]:
    """Wait until the controller has set up the fabric, and end it before the fabric goes.

    Args:
        directory: where its log is.
        journal: told of incidents.

    Raises:
        RunError: it reported an error, or ended; whatever else went wrong then follows from it.
    """
    prefer(process.pid, Rank.NODE)
    try:
        running = Controller(process, journal, _log(directory))
        running.events.await_event(Installed, READY_S)
        with running.blamed():
            yield running
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _log(directory: Path) -> Path:
    return directory / "controller.log"
