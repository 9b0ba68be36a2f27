"""The runner as a user starts it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from plan.events import JournalEvent
from scenarios.running.journal import JOURNAL

TINY = Path(__file__).with_name("tiny.yaml")


@contextmanager
def started(scenario: Path, out: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a process group of its own, as a terminal would start it.

    It makes its own sandbox, in that of the tests if there is one.
    """
    command = [sys.executable, "-m", "scenarios.run", str(scenario), "--out", str(out)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DUALPATH")}
    with subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def entries(out: Path) -> list[JournalEvent]:
    """What the journal of a run holds so far."""
    path = out / JOURNAL
    complete, newline, _ = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
    return msgspec.json.Decoder(JournalEvent).decode_lines(complete + newline)


def await_entry(
    process: subprocess.Popen[str],
    out: Path,
    holds: Callable[[JournalEvent], bool],
    within_s: float = 60.0,
) -> None:
    """Until the journal of a run has an entry for which it holds."""
    deadline = time.monotonic() + within_s
    while not any(map(holds, entries(out))):
        assert process.poll() is None, f"it ended with status {process.returncode}"
        assert time.monotonic() < deadline, entries(out)
        time.sleep(0.01)  # noqa: TID251  between two looks


def await_line(process: subprocess.Popen[str], start: str, times: int = 1) -> None:
    """Until it has said so many lines that start like that."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        times -= line.startswith(start)
        if not times:
            return
    raise AssertionError(f"it ended before it said {start!r}: {''.join(said)}")


def process_of(runner: int, program: str, name: str) -> int:
    """The process of a run that executes a program or module for what has that name."""
    commands = {pid: command(pid) for pid in descendants(runner)}
    [found] = [
        pid
        for pid, words in commands.items()
        if (program in words and name in (*words, program.partition(".")[0]))
        or Path(words[0]).name == name
    ]
    return found


def command(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


def descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from descendants(child)
