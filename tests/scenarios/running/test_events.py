"""Claims about what a run hears from its processes; they are real processes that only talk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from plan.errors import PeerLost, RunError
from plan.events import Incident, Installed, Ready, Stopped
from scenarios.running.controller_process import Controller
from scenarios.running.cpu import CpuTimes
from scenarios.running.events import CONTROLLER_EVENTS, NODE_EVENTS, EventStream
from scenarios.running.journal import JOURNAL, Journal

SOON_S = 30.0
LOG = Path("systems/basic/pe0.log")
NODE = (NODE_EVENTS, LOG)

Talk = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def talk() -> Iterator[Talk]:
    """A process that says some text and then ends, or waits for the end of its input."""
    started: list[subprocess.Popen[bytes]] = []

    def start(text: str, then: str = "sys.stdin.read()") -> subprocess.Popen[bytes]:
        code = f"import sys; sys.stdout.write({text!r}); sys.stdout.flush(); {then}"
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with process:
            pass


def test_what_was_said_in_one_breath_with_the_awaited_event_is_not_lost(talk: Talk) -> None:
    before = '{"event": "progress", "done": 1, "total": null}'
    said = before + '\n{"event": "ready"}\n{"event": "stopped"}\n'
    stream = EventStream(talk(said), "x", NODE_EVENTS, LOG)
    stream.await_event(Ready, SOON_S)
    assert stream.take_now() == [Stopped()]
    assert stream.take_now() == []


def test_an_event_that_comes_in_two_pieces_is_one_event(talk: Talk) -> None:
    halves = "sys.stdin.readline(); sys.stdout.write('dy\"}\\n'); sys.stdout.flush()"
    process = talk('{"event": "rea', then=halves)
    stream = EventStream(process, "x", NODE_EVENTS, LOG)
    assert stream.take() == []
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert stream.take() == [Ready()]


def test_an_error_event_ends_the_run_with_its_message(talk: Talk) -> None:
    said = '{"event": "error", "message": "KeyError: 7"}\n'
    stream = EventStream(talk(said), "controller", CONTROLLER_EVENTS, LOG)
    with pytest.raises(RunError, match=f"controller: KeyError: 7; see {LOG}"):
        stream.await_event(Installed, SOON_S)


@pytest.mark.parametrize("line", ["Traceback", '{"event": "redy"}', '{"event": "progress"}'])
def test_a_line_that_is_no_event_ends_the_run_and_is_named(talk: Talk, line: str) -> None:
    stream = EventStream(talk(line + "\n"), "pe0", NODE_EVENTS, LOG)
    with pytest.raises(RunError, match=re.escape(f"pe0 said {line!r}, which is no event")):
        stream.take()


def test_a_process_that_ends_unasked_ends_the_run_with_its_status(talk: Talk) -> None:
    stream = EventStream(talk('{"event": "ready"}\n', then="sys.exit(3)"), "pe0", NODE_EVENTS, LOG)
    stream.await_event(Ready, SOON_S)
    with pytest.raises(RunError, match=f"pe0 ended early, with status 3; see {LOG}"):
        stream.take()


def test_a_process_that_is_killed_is_named_with_the_signal_and_its_log(talk: Talk) -> None:
    process = talk('{"event": "ready"}\n')
    stream = EventStream(process, "pe0", NODE_EVENTS, LOG)
    stream.await_event(Ready, SOON_S)
    process.terminate()
    with pytest.raises(RunError, match=f"^pe0 was killed by SIGTERM; see {LOG}$"):
        stream.take()


def test_a_process_that_never_gets_ready_ends_the_run_in_time(talk: Talk) -> None:
    stream = EventStream(talk('{"event": "progress", "done": 1, "total": 2}\n'), "pe0", *NODE)
    with pytest.raises(RunError, match=rf"^pe0 was not ready within 0\.2 s; see {LOG}$"):
        stream.await_event(Ready, 0.2)


def test_an_error_of_a_lost_peer_names_the_peer(talk: Talk) -> None:
    said = '{"event": "error", "message": "kv connection broke", "peer": "de0"}\n'
    with pytest.raises(PeerLost) as caught:
        EventStream(talk(said), "pe0", *NODE).take()
    assert caught.value.peer == "de0"


def test_a_failure_that_was_told_stays_known(talk: Talk) -> None:
    said = '{"event": "error", "message": "KeyError: 7"}\n'
    stream = EventStream(talk(said, then="sys.exit(1)"), "pe0", *NODE)
    with pytest.raises(RunError) as caught:
        stream.await_event(Ready, SOON_S)
    assert stream.failure(SOON_S) is caught.value


def test_a_process_that_goes_on_has_no_failure(talk: Talk) -> None:
    assert EventStream(talk('{"event": "ready"}\n'), "pe0", *NODE).failure() is None


def test_whatever_fails_when_the_controller_is_gone_is_told_as_its_end(
    talk: Talk, tmp_path: Path
) -> None:
    process = talk("")
    with Journal(tmp_path / JOURNAL) as journal:
        controller = Controller(lambda _: process, journal, LOG)
    process.terminate()
    process.wait()
    ended = pytest.raises(RunError, match=r"^controller was killed by SIGTERM")
    with ended as caught, controller.blamed():
        raise OSError("nothing arrived")
    assert isinstance(caught.value.__cause__, OSError)


def test_what_fails_while_the_controller_runs_is_told_as_it_is(talk: Talk, tmp_path: Path) -> None:
    with Journal(tmp_path / JOURNAL) as journal:
        controller = Controller(lambda _: talk(""), journal, LOG)
    with pytest.raises(OSError, match="nothing arrived"), controller.blamed():
        raise OSError("nothing arrived")


def test_a_lost_switch_and_a_failed_port_are_incidents_and_their_return_is_none(
    talk: Talk, tmp_path: Path
) -> None:
    said = (
        '{"event": "switch", "switch": "ce0", "connected": true}\n'
        '{"event": "ready", "switches": 1, "flows": 9, "unreachable": []}\n'
        '{"event": "switch", "switch": "ce0", "connected": false}\n'
        '{"event": "switch", "switch": "ce0", "connected": true}\n'
        '{"event": "port", "switch": "ca1", "port": 2, "link": "ce1-ca1", "state": "down"}\n'
        '{"event": "port", "switch": "ca1", "port": 2, "link": "ce1-ca1", "state": "up"}\n'
        '{"event": "rerouted", "unreachable": []}\n'
    )
    with Journal(tmp_path / JOURNAL) as journal:
        controller = Controller(lambda _: talk(said), journal, LOG)
        controller.events.await_event(Installed, SOON_S)
        while "ca1" not in str(controller.incidents):
            controller.heed(controller.events.take())
        controller.check()
    assert controller.incidents == [
        "switch ce0 lost its controller",
        "port 2 of switch ca1 (ce1-ca1) went down",
    ]
    journalled = msgspec.json.Decoder(Incident).decode_lines((tmp_path / JOURNAL).read_bytes())
    assert [incident.what for incident in journalled] == controller.incidents


def test_cpu_shares_are_cores_and_what_is_nobodys_is_others(talk: Talk) -> None:
    idle = talk("").pid
    before, used_s = CpuTimes.read([idle, idle], idle, [os.getpid()]), time.process_time()
    while time.process_time() < used_s + 0.3:
        pass
    now = CpuTimes.read([idle, idle], idle, [os.getpid()])
    shares = now.since(before)
    # 0.3 s and whatever else the ticks took in
    assert shares.nodes * (now.at_s - before.at_s) == pytest.approx(0.3, abs=0.05)
    assert shares.busiest_switch == shares.controller
    assert shares.switch == pytest.approx(2 * shares.busiest_switch)
    assert 0 <= shares.others <= (os.cpu_count() or 1)
