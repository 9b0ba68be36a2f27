"""The files of a trace, read line by line within bounds: they may come from anywhere."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from plan.errors import TraceError

MAX_UNPACKED_BYTES = 2**30
"""Of a trace, all of its files together."""
MAX_LINE_BYTES = 32 * 2**20
"""Of a line, or of a file that is one JSON document."""
MAX_LINES = 1_000_000
"""Of a file."""
MAX_FILES = 10_000
"""Of a folder, whatever they are."""
MAX_TURNS = 1_000_000
"""Of a trace."""
_LESS = "take a part of it"


class TraceFiles:
    """What a trace consists of, read once.

    Args:
        path: a file, or a folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = MAX_UNPACKED_BYTES

    def named(self, pattern: str) -> list[Path]:
        """The file itself, or those of the folder with such a name, in order.

        Raises:
            TraceError: there are none, too many, or one leads out of the folder.
        """
        if not self._path.is_dir():
            return [self._path]
        with os.scandir(self._path) as entries:
            for found, _ in enumerate(entries, start=1):
                if found > MAX_FILES:
                    raise TraceError(f"{self._path}: more than {MAX_FILES} files: {_LESS}")
        files = sorted(self._path.glob(pattern))
        home = self._path.resolve()
        for file in files:
            if not file.resolve().is_relative_to(home):
                raise TraceError(f"{file}: a link that leads out of {self._path}: put a copy there")
        return files

    def lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Numbered lines of a file that are not empty, unpacked as they are asked for.

        Raises:
            TraceError: it can't be read, or is beyond a bound.
        """
        with _opened(path) as file:
            number = 0
            while data := self._read(file.readline, path, number + 1):
                number += 1
                if number > MAX_LINES:
                    raise TraceError(f"{path}: more than {MAX_LINES} lines: {_LESS}")
                if not data.isspace():
                    yield number, data

    def document(self, path: Path) -> bytes:
        """A file that is one JSON document.

        Raises:
            TraceError: as `lines`.
        """
        with _opened(path) as file:
            return self._read(file.read, path, 1)

    def _read(self, read: Callable[[int], bytes], path: Path, number: int) -> bytes:
        data = read(min(self._left, MAX_LINE_BYTES) + 1)
        if len(data) > self._left:
            raise TraceError(f"{path}: more than {_size(MAX_UNPACKED_BYTES)} unpacked: {_LESS}")
        if len(data) > MAX_LINE_BYTES:
            raise TraceError(f"{path}:{number}: longer than {_size(MAX_LINE_BYTES)}: {_LESS}")
        self._left -= len(data)
        return data


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A plain file, unpacked if it is packed; pipes and devices may never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise TraceError(f"{path}: is no plain file: name a file or a folder of files")
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            yield cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{path}: cannot be read as a trace: {error}") from error


def _size(count: int) -> str:
    return f"{count / 2**20:g} MiB"
