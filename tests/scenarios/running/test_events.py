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

from plan.errors import RunError
from plan.events import Incident, Installed, Ready, Stopped
from scenarios.running.controller_process import Controller
from scenarios.running.cpu import CpuTimes
from scenarios.running.events import CONTROLLER_EVENTS, NODE_EVENTS, EventStream
from scenarios.running.journal import JOURNAL, Journal

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
    said = '{"event": "completed"}\n{"event": "ready"}\n{"event": "stopped"}\n'
    stream = EventStream(talk(said), "x", NODE_EVENTS)
    stream.await_event(Ready)
    assert stream.take_now() == [Stopped()]
    assert stream.take_now() == []


def test_an_event_that_comes_in_two_pieces_is_one_event(talk: Talk) -> None:
    halves = "sys.stdin.readline(); sys.stdout.write('dy\"}\\n'); sys.stdout.flush()"
    process = talk('{"event": "rea', then=halves)
    stream = EventStream(process, "x", NODE_EVENTS)
    assert stream.take() == []
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert stream.take() == [Ready()]


def test_an_error_event_ends_the_run_with_its_message(talk: Talk) -> None:
    said = '{"event": "error", "message": "KeyError: 7"}\n'
    stream = EventStream(talk(said), "controller", CONTROLLER_EVENTS)
    with pytest.raises(RunError, match="controller: KeyError: 7"):
        stream.await_event(Installed)


@pytest.mark.parametrize("line", ["Traceback", '{"event": "redy"}', '{"event": "progress"}'])
def test_a_line_that_is_no_event_ends_the_run_and_is_named(talk: Talk, line: str) -> None:
    stream = EventStream(talk(line + "\n"), "pe0", NODE_EVENTS)
    with pytest.raises(RunError, match=re.escape(f"pe0 said {line!r}, which is no event")):
        stream.take()


def test_a_process_that_ends_unasked_ends_the_run_with_its_status(talk: Talk) -> None:
    stream = EventStream(talk('{"event": "ready"}\n', then="sys.exit(3)"), "pe0", NODE_EVENTS)
    stream.await_event(Ready)
    with pytest.raises(RunError, match="pe0 ended early, with status 3"):
        stream.take()


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
        controller = Controller(talk(said), journal)
        controller.events.await_event(Installed)
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
    before, used_s = CpuTimes.read(idle, idle, [os.getpid()]), time.process_time()
    while time.process_time() < used_s + 0.3:
        pass
    now = CpuTimes.read(idle, idle, [os.getpid()])
    shares = now.since(before)
    # 0.3 s and whatever else the ticks took in
    assert shares.nodes * (now.at_s - before.at_s) == pytest.approx(0.3, abs=0.05)
    assert shares.switch == shares.controller
    assert 0 <= shares.others <= (os.cpu_count() or 1)
