"""The runner as a user starts it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
