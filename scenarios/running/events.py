"""What the processes of a run say: events, one a line, on their standard output."""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from plan.endings import ending
from plan.errors import PeerLost, RunError
from plan.events import ControllerEvent, Error, Event, NodeEvent

E = TypeVar("E", bound=Event)
W = TypeVar("W", bound=Event)

NODE_EVENTS: msgspec.json.Decoder[NodeEvent] = msgspec.json.Decoder(NodeEvent)
CONTROLLER_EVENTS: msgspec.json.Decoder[ControllerEvent] = msgspec.json.Decoder(ControllerEvent)


class EventStream(Generic[E]):
    """The events of one process.

    Args:
        process: with a pipe as its standard output, which nobody else reads.
        name: of the process, for messages.
        decoder: of what it may say.
        log: file of its standard error.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        name: str,
        decoder: msgspec.json.Decoder[E],
        log: Path,
    ) -> None:
        self.name = name
        self.log = log
        self._failure: RunError | None = None
        self._process = process
        self._decoder = decoder
        self._unread: list[E] = []
        self._rest = b""

    def fileno(self) -> int:
        """The pipe, for selectors."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def await_event(self, wanted: type[W], patience_s: float) -> W:
        """Pass over events up to one of the wanted type, which is returned.

        Raises:
            RunError: as `take`, or it did not come in time.
        """
        deadline = time.monotonic() + patience_s
        while True:
            if not self._readable(deadline):
                what = wanted.__struct_config__.tag
                late = f"{self.name} was not {what} within {patience_s:g} s; see {self.log}"
                raise RunError(late)
            events = self.take()
            for position, event in enumerate(events, 1):
                if isinstance(event, wanted):
                    self._unread = events[position:]
                    return event

    def take(self) -> list[E]:
        """Events that have not been taken yet; waits until there is something to read.

        Raises:
            RunError: the process reported an error, said what is no event, or ended.
        """
        if self._unread:
            events, self._unread = self._unread, []
            return events
        if self._failure is not None:
            raise self._failure
        try:
            return self._read()
        except RunError as error:
            self._failure = error
            raise

    def take_now(self) -> list[E]:
        """The same without waiting; empty if nothing was said.

        Raises:
            RunError: as `take`.
        """
        events: list[E] = []
        while self._readable(time.monotonic()):
            events += self.take()
        return events

    def failure(self, patience_s: float = 0.0) -> RunError | None:
        """What has ended the process, or does within a time; None if nothing does."""
        deadline = time.monotonic() + patience_s
        while self._failure is None and self._readable(deadline):
            with suppress(RunError):
                self.take()
        return self._failure

    def _readable(self, deadline: float) -> bool:
        left_s = max(0.0, deadline - time.monotonic())
        return bool(self._unread or select.select([self], [], [], left_s)[0])

    def _read(self) -> list[E]:
        text = os.read(self.fileno(), 65536)
        if not text:
            raise RunError(ending(self.name, self._process.wait(), self.log))
        *lines, self._rest = (self._rest + text).split(b"\n")
        return [self._event(line) for line in lines]

    def _event(self, line: bytes) -> E:
        try:
            event = self._decoder.decode(line)
        except msgspec.DecodeError as error:
            said = line.decode(errors="replace")
            raise RunError(
                f"{self.name} said {said!r}, which is no event: {error}; see {self.log}"
            ) from None
        if isinstance(event, Error):
            what = f"{self.name}: {event.message}; see {self.log}"
            raise PeerLost(what, event.peer) if event.peer else RunError(what)
        return event
