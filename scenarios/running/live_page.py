"""Starts the live page of a run beside it, and ends it with the run."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plan.errors import ScenarioError
from topology.interpreter import python

PORT = 8700
HERE = "127.0.0.1"


@contextmanager
def live_page(directory: Path, port: int) -> Iterator[None]:
    """Show a run meanwhile, in a process of its own.

    Raises:
        ScenarioError: nothing can be served at that port.
    """
    with told(port), socket.create_server((HERE, port)):
        pass
    command = python("-m", "scenarios.serve", "--port", str(port), "--beside", str(os.getpid()))
    with subprocess.Popen([*command, "--", str(directory)]) as process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def told(port: int) -> Iterator[None]:
    """What goes wrong inside is the port's fault, and is told as such."""
    try:
        yield
    except (OSError, OverflowError) as error:
        raise ScenarioError("port", port, "name another, from 1024 to 65535", str(error)) from None
