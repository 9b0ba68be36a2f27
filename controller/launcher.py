"""The controller as a process: `python -m controller.launcher --plan plan.json ...`.

Tells what happens on stdout, one of `plan.events.ControllerEvent` a line. SIGTERM ends it with
exit code 0. Any error that Ryu would only log, an exception in a handler above all, ends it
with exit code 1 and an `error` event.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import msgspec

from plan.errors import said
from plan.events import ControllerEvent, Error
from plan.model import read_plan

_WAITING = 4096
"""Switches at most that are not spoken to yet."""


def main() -> int:
    """Run the controller until SIGTERM or an error."""
    arguments = _arguments()
    try:
        # before anything that takes its time: a switch that is turned away waits for a second
        with (
            socket.create_server(arguments.listen, backlog=_WAITING) as door,
            _appended(arguments.telemetry, arguments.life) as telemetry,
        ):
            return _run(arguments, door, telemetry)
    except Exception as error:
        traceback.print_exc()  # for its log
        return _fail(said(error))


def _appended(path: Path, life: int) -> TextIO:
    """The file of counter samples, in a later life behind its last whole line."""
    if life == 1 or not path.exists():
        return path.open("w")
    whole = path.read_bytes().rpartition(b"\n")
    os.truncate(path, len(whole[0]) + len(whole[1]))
    return path.open("a")


def emit(event: ControllerEvent) -> None:
    """Print an event as one JSON line."""
    print(msgspec.json.encode(event).decode(), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="controller.launcher", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="the run's plan (JSON)")
    parser.add_argument("--listen", type=_address, required=True, metavar="HOST:PORT")
    parser.add_argument("--telemetry", type=Path, required=True, help="file for counter samples")
    parser.add_argument("--life", type=int, default=1, help="of the controller, from 1")
    parser.add_argument("--interval", type=_seconds, default=0.5, help="seconds between samples")
    return parser.parse_args()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:6653")
    return host, int(port)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _run(arguments: argparse.Namespace, door: socket.socket, telemetry: TextIO) -> int:
    plan = read_plan(arguments.plan)
    _prepare_ryu()
    from ryu import cfg
    from ryu.base.app_manager import AppManager
    from ryu.lib import hub

    from controller.app import FabricApp, Reception, Settings

    over = hub.Event()
    failures: list[str] = []

    def fail(message: str) -> None:
        failures.append(message)
        over.set()

    logging.basicConfig(level=logging.WARNING)
    logging.getLogger().addHandler(_Fatal(fail))
    cfg.CONF(args=[], project="controller", default_config_files=[], default_config_dirs=[])
    settings = Settings(
        plan=plan,
        emit=emit,
        telemetry=telemetry,
        interval_s=arguments.interval,
        life=arguments.life,
    )
    manager = AppManager.get_instance()
    # the application first: it declares the OpenFlow versions that the handler may offer
    apps = [manager.instantiate(FabricApp, settings), manager.instantiate(Reception, door)]
    for app in apps:
        app.start()
    _end_on_signal(over.set)
    over.wait()
    return _fail(failures[0]) if failures else 0


def _prepare_ryu() -> None:
    """Set what Ryu's modules need, and what makes them quick, before they are imported.

    Ryu takes a marker from eventlet that current versions no longer define. Without green DNS
    the import is a quarter of a second shorter, and no name is ever resolved here.
    """
    os.environ["EVENTLET_NO_GREENDNS"] = "yes"
    # both packages are unmaintained and say so at every import
    warnings.simplefilter("ignore")
    import eventlet.wsgi

    eventlet.wsgi.ALREADY_HANDLED = object()


class _Fatal(logging.Handler):
    """Hands every error that is logged to `fail`, as one line.

    Ryu catches and logs what its handlers and green threads raise; a controller that lost an
    event is worse than none.
    """

    def __init__(self, fail: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._fail = fail

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            error = record.exc_info[1]
            self._fail(said(error))
        else:
            # a green thread's traceback is logged as text, its last line is the error
            self._fail(record.getMessage().strip().splitlines()[-1])


def _end_on_signal(end: Callable[[], None]) -> None:
    """Call `end` in a green thread on SIGTERM or SIGINT."""
    import eventlet
    from eventlet.hubs import trampoline

    reader, writer = os.pipe()

    def wait() -> None:
        trampoline(reader, read=True)
        end()

    for number in (signal.SIGTERM, signal.SIGINT):
        # a handler may interrupt any green thread, so it only writes to the pipe
        signal.signal(number, lambda *_: os.write(writer, b"."))
    eventlet.spawn(wait)


def _fail(message: str) -> int:
    emit(Error(message))
    return 1


if __name__ == "__main__":
    sys.exit(main())
