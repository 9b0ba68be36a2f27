"""The live page is there for this machine's browser alone, and leaves with its run."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scenarios import serve
from scenarios.running.live_page import HERE
from tests.machine_state import eventually
from tests.scenarios.reports.test_live import write_run


@pytest.fixture
def server() -> Iterator[serve.Server]:
    board = serve.Board("<p>page</p>")
    with serve.Server(0, board) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def asked(server: serve.Server, path: str, host: str | None = None) -> http.client.HTTPResponse:
    port = server.server_address[1]
    connection = http.client.HTTPConnection(HERE, port, timeout=10)
    connection.request("GET", path, headers={"Host": host or f"{HERE}:{port}"})
    return connection.getresponse()


def event(answer: http.client.HTTPResponse) -> str:
    line = answer.readline().decode()
    assert answer.readline() == b"\n"
    return line.removeprefix("data: ").rstrip("\n")


def test_a_viewer_gets_the_page_and_what_comes_later(server: serve.Server) -> None:
    assert asked(server, "/").read() == b"<p>page</p>"
    server.board.put("one")
    answer = asked(server, "/events")
    assert event(answer) == "one"
    server.board.put("two")
    assert event(answer) == "two"


def test_nothing_else_is_there_and_no_other_name_leads_here(server: serve.Server) -> None:
    assert asked(server, "/../../etc/passwd").status == 404
    assert asked(server, "/", host="evil.example:80").status == 403
    assert server.server_address[0] == "127.0.0.1"


def test_there_are_seats_for_so_many_viewers(
    server: serve.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.board, "seats", threading.BoundedSemaphore(1))
    server.board.put("one")
    first = asked(server, "/events")
    assert event(first) == "one"
    assert asked(server, "/events").status == 503


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
        assert serve.main([str(tmp_path), "--port", str(port)]) == 2
    assert f"port: {port}" in capsys.readouterr().err


@pytest.mark.slow
def test_it_shows_a_run_and_ends_with_the_process_beside_it(tmp_path: Path) -> None:
    write_run(tmp_path, 1.0)
    with socket.create_server((HERE, 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as beside:
        command = [
            sys.executable,
            "-I",
            "-m",
            "scenarios.serve",
            str(tmp_path),
            "--port",
            str(port),
        ]
        with subprocess.Popen(
            [*command, "--beside", str(beside.pid)], stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == f"live: http://{HERE}:{port}/\n"
            connection = http.client.HTTPConnection(HERE, port, timeout=30)
            connection.request("GET", "/events")
            shown = json.loads(event(connection.getresponse()))
            assert set(shown["requests"]) == {"basic", "dualpath"}
            beside.kill()
            beside.wait()
            # it has the lowest priority: beside other programs it comes late to see that
            assert process.wait(90) == 0


@pytest.mark.slow
def test_a_run_shows_itself_and_takes_its_page_away(tmp_path: Path) -> None:
    with socket.create_server((HERE, 0)) as free:
        port = free.getsockname()[1]
    small = ["--set", "engine=simulate", "--set", "workload.agents=2", "--systems", "basic"]
    command = [sys.executable, "-I", "-m", "scenarios.run", "--out", str(tmp_path / "run"), *small]
    done = subprocess.run([*command, "--serve", str(port)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HERE, port))


def test_a_process_that_is_gone_is_noticed() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    assert serve._lives(os.getpid())
    os.kill(gone.pid, signal.SIGKILL)
    gone.wait()
    assert eventually(lambda: not serve._lives(gone.pid), within_s=10)
