"""Watch a run while it goes, in a browser on this machine: `dualpath serve RUN`.

The page is the report's, with what is there so far; `dualpath run --serve` starts both. It
listens on 127.0.0.1 alone, reads the run's files and nothing else, and takes at most a
twentieth of a processor. It ends with Ctrl-C, or with the run that started it.

Exit status: 2 the command line is wrong, or the port is taken; 130 it was broken off.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from scenarios.configuration.units import count
from scenarios.reports.live import LiveRun
from scenarios.running.live_page import HERE, PORT, told
from scenarios.running.outcome import DONE, concluded

LEAST_S = 2.0
"""Between two looks, wall seconds."""
SHARE = 20
"""A look is followed by a rest of so many times as long."""
VIEWERS = 8


class Board:
    """What viewers see, and the change that they wait for."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.seats = threading.BoundedSemaphore(VIEWERS)
        self._changed = threading.Condition()
        self._shown, self._number = "", 0

    def put(self, shown: str) -> None:
        with self._changed:
            self._shown, self._number = shown, self._number + 1
            self._changed.notify_all()

    def after(self, number: int, within_s: float) -> tuple[int, str]:
        """The latest, and its number; waits so long for one that is newer."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number, within_s)
            return self._number, self._shown


class Server(ThreadingHTTPServer):
    """Answers on the loopback interface alone."""

    daemon_threads = True

    def __init__(self, port: int, board: Board) -> None:
        self.board = board
        super().__init__((HERE, port), _Viewer)

    @property
    def names(self) -> set[str]:
        """What a browser on this machine calls us; another name was made to lead here."""
        port = self.server_address[1]
        return {f"{host}:{port}" for host in (HERE, "localhost")}


class _Viewer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.names:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path == "/":
            self._answer("text/html; charset=utf-8", self.server.board.page.encode())
        elif self.path == "/events":
            self._events()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what is asked for is no news."""

    def _answer(self, kind: str, body: bytes) -> None:
        self._head(kind)
        self.wfile.write(body)

    def _head(self, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def _events(self) -> None:
        board = self.server.board
        if not board.seats.acquire(blocking=False):
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        try:
            self._head("text/event-stream")
            number = 0
            while True:
                latest, shown = board.after(number, within_s=15.0)
                # a comment now and then finds out who has gone
                self.wfile.write(f"data: {shown}\n\n".encode() if latest > number else b":\n\n")
                number = latest
        except ConnectionError:
            self.close_connection = True
        finally:
            board.seats.release()


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: serve(arguments.run, arguments.port, arguments.beside))


def serve(directory: Path, port: int, beside: int | None = None) -> int:
    """Show a run, which may not have begun, until this process is ended.

    Args:
        beside: a process; when it ends, so does this.

    Raises:
        ScenarioError: nothing can be served at that port.
    """
    run = LiveRun(directory)
    run.look()
    board = Board(run.page())
    with told(port):
        server = Server(port, board)
    print(f"live: http://{HERE}:{server.server_address[1]}/", file=sys.stderr, flush=True)
    os.nice(19)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    new = True
    while beside is None or _lives(beside):
        began = time.monotonic()
        if new:
            board.put(run.shown())
        new = run.look()
        threading.Event().wait(max(LEAST_S, SHARE * (time.monotonic() - began)))
    return DONE


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of a run")
    parser.add_argument("--port", type=count, default=PORT, help="of 127.0.0.1 (default: 8700)")
    parser.add_argument("--beside", type=count, metavar="PID", help="end when this process does")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
