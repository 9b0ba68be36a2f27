"""A storage host's index on disk: all that changed it, in order, for the next life to read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from nodes.protocol.blocks import Runs
from nodes.protocol.messages import Left, StoreBlocks
from nodes.storage.index import Index
from plan.errors import Broken


class _Met(msgspec.Struct, frozen=True, array_like=True, tag="met"):
    agent: int
    runs: Runs
    held: int


_Entry = _Met | StoreBlocks | Left


class DiskIndex(Index):
    """See `Index`; all that changes it is appended to a file first, if there is room.

    Args:
        path: of the file. A last entry that was cut short has not been acknowledged.
    """

    def __init__(self, path: Path) -> None:
        Index.__init__(self)
        self._encoder = msgspec.json.Encoder()
        if path.exists():
            complete, newline, _ = path.read_bytes().rpartition(b"\n")
            path.write_bytes(complete + newline)
            for entry in msgspec.json.Decoder(_Entry).decode_lines(complete + newline):
                self._replay(entry)
        self._file = path.open("ab", buffering=0)

    def meet(self, agent: int, runs: Runs, held: int) -> None:
        with suppress(Broken):  # the next life will see to the context anew
            self._write(_Met(agent, runs, held))
        Index.meet(self, agent, runs, held)

    def stored(self, span: StoreBlocks) -> None:
        """Raises `Broken` where there is no room for it."""
        self._write(span)
        Index.stored(self, span)

    def forget(self, left: Left) -> None:
        with suppress(Broken):  # the next life will hold what nobody asks for
            self._write(left)
        Index.forget(self, left)

    def close(self) -> None:
        self._file.close()

    def _write(self, entry: _Entry) -> None:
        try:
            self._file.write(self._encoder.encode(entry) + b"\n")
        except OSError as error:
            raise Broken(f"the index cannot be written: {error.strerror}") from error

    def _replay(self, entry: _Entry) -> None:
        match entry:
            case _Met():
                Index.meet(self, entry.agent, entry.runs, entry.held)
            case StoreBlocks():
                Index.stored(self, entry)
            case Left():
                Index.forget(self, entry)
