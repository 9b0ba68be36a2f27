"""What the processes of a run say: events, one a line, on their standard output."""

from __future__ import annotations

import os
import select
import subprocess
from typing import Generic, TypeVar

import msgspec

from plan.errors import RunError
from plan.events import ControllerEvent, Error, Event, NodeEvent

E = TypeVar("E", bound=Event)

NODE_EVENTS: msgspec.json.Decoder[NodeEvent] = msgspec.json.Decoder(NodeEvent)
CONTROLLER_EVENTS: msgspec.json.Decoder[ControllerEvent] = msgspec.json.Decoder(ControllerEvent)


class EventStream(Generic[E]):
    """The events of one process.

    Args:
        process: with a pipe as its standard output, which nobody else reads.
        name: of the process, for messages.
        decoder: of what it may say.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], name: str, decoder: msgspec.json.Decoder[E]
    ) -> None:
        self.name = name
        self._process = process
        self._decoder = decoder
        self._unread: list[E] = []
        self._rest = b""

    def fileno(self) -> int:
        """The pipe, for selectors."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def await_event(self, wanted: type[Event]) -> None:
        """Pass over events up to one of the wanted type.

        Raises:
            RunError: as `take`.
        """
        while True:
            events = self.take()
            for position, event in enumerate(events, 1):
                if isinstance(event, wanted):
                    self._unread = events[position:]
                    return

    def take(self) -> list[E]:
        """Events that have not been taken yet; waits until there is something to read.

        Raises:
            RunError: the process reported an error, said what is no event, or ended.
        """
        if self._unread:
            events, self._unread = self._unread, []
            return events
        text = os.read(self.fileno(), 65536)
        if not text:
            status = self._process.wait()
            raise RunError(f"{self.name} ended early, with status {status}; see its log")
        *lines, self._rest = (self._rest + text).split(b"\n")
        return [self._event(line) for line in lines]

    def take_now(self) -> list[E]:
        """The same without waiting; empty if nothing was said.

        Raises:
            RunError: as `take`.
        """
        events: list[E] = []
        while self._unread or select.select([self], [], [], 0)[0]:
            events += self.take()
        return events

    def _event(self, line: bytes) -> E:
        try:
            event = self._decoder.decode(line)
        except msgspec.DecodeError as error:
            said = line.decode(errors="replace")
            raise RunError(f"{self.name} said {said!r}, which is no event: {error}") from None
        if isinstance(event, Error):
            raise RunError(f"{self.name}: {event.message}")
        return event
