"""What the processes of a run say: JSON events, one a line, on their standard output."""

from __future__ import annotations

import json
import os
import select
import subprocess
from typing import Any

from plan.errors import RunError

Event = dict[str, Any]


class EventStream:
    """The events of one process.

    Args:
        process: with a pipe as its standard output, which nobody else reads.
        name: of the process, for messages.
    """

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self.name = name
        self._process = process
        self._unread: list[Event] = []
        self._rest = b""

    def fileno(self) -> int:
        """The pipe, for selectors."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def await_event(self, wanted: str) -> None:
        """Pass over events up to the wanted one.

        Raises:
            RunError: as `take`.
        """
        while True:
            events = self.take()
            for position, event in enumerate(events, 1):
                if event["event"] == wanted:
                    self._unread = events[position:]
                    return

    def take(self) -> list[Event]:
        """Events that have not been taken yet; waits until there is something to read.

        Raises:
            RunError: the process reported an error, or ended.
        """
        if self._unread:
            events, self._unread = self._unread, []
            return events
        text = os.read(self.fileno(), 65536)
        if not text:
            status = self._process.wait()
            raise RunError(f"{self.name} ended early, with status {status}; see its log")
        *lines, self._rest = (self._rest + text).split(b"\n")
        events = [json.loads(line) for line in lines]
        for event in events:
            if event["event"] == "error":
                raise RunError(f"{self.name}: {event['message']}")
        return events

    def take_now(self) -> list[Event]:
        """The same without waiting; empty if nothing was said.

        Raises:
            RunError: as `take`.
        """
        events: list[Event] = []
        while self._unread or select.select([self], [], [], 0)[0]:
            events += self.take()
        return events
